"""One page that shows what one or several trainings did, from what they left in their folders."""

from .page import write_report
from .run import Run, read_run, read_runs
