"""Write the report: one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..engine.atomic import write_atomically
from ..version import __version__
from .charts import run_colour
from .run import Run
from .sections import pictures_of, sections_of


def write_report(
    runs: Sequence[Run], path: Path, predictions: int = 0, device: str = 'cpu'
) -> list[str]:
    """Write the report of one or several runs.

    Args:
        runs: At least one; several are shown side by side, with their differences.
        path: The HTML file.
        predictions: Draw that many validation images with predictions of each run's last
            checkpoint, which takes its data.
        device: Where to compute those.

    Returns:
        Pictures that could not be shown, and why, as the page says it.

    Raises:
        OSError: If the file cannot be written.
    """
    pictures = [pictures_of(run, predictions, device) for run in runs]
    loader = PackageLoader('mmgradaug', 'reporting')
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template('page.html.jinja').render(
        runs=[(run.name, run_colour(index)) for index, run in enumerate(runs)],
        sections=sections_of(runs, pictures),
        now=f'{datetime.now():%Y-%m-%d %H:%M:%S}',
        version=__version__,
    )
    write_atomically(text.encode('utf-8', errors='replace'), path)
    failed = zip(runs, pictures, strict=True)
    return [f'{run.name}: {note}' for run, part in failed if part.failed for note in part.notes]
