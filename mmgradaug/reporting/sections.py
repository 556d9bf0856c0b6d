"""What a report shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..engine.error_origin import is_about_input
from ..engine.error_text import message_of
from .charts import (
    Chart,
    comparison_charts,
    legend_of,
    loss_charts,
    pass_charts,
    precision_charts,
    time_charts,
)
from .draws import draw_charts
from .pictures import Picture, pictures_left, predict
from .run import Run
from .tables import (
    Table,
    config_table,
    environment,
    last_metrics,
    metrics_of,
    overview,
    seconds_table,
    starts,
)


@dataclass(frozen=True)
class Part:
    """What a section shows of one run, or of all together.

    Attributes:
        legend: (name, colour) of the charts' lines.
        text: Preformatted, folded away.
        failed: Whether something is missing that was asked for, as ``notes`` say.
    """

    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text: str = ''
    failed: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.charts or self.tables or self.pictures or self.notes or self.text)


@dataclass(frozen=True)
class Section:
    """A section of the page: what is of all runs together, then of each.

    Attributes:
        nothing: What stands under the name of a run that has nothing to show, beside runs that
            have; without a text its name is left out too.
    """

    name: str
    title: str
    lead: str = ''
    shared: Part = field(default_factory=Part)
    parts: list[Part] = field(default_factory=list)
    nothing: str = 'not in the log of this run'

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return all(part.empty for part in (self.shared, *self.parts))


def sections_of(runs: Sequence[Run], pictures: list[Part]) -> list[Section]:
    """The sections that have something to show.

    Args:
        runs: What they are about.
        pictures: Of each run, from :func:`pictures_of`.
    """
    sections = [
        _overview(runs),
        *_comparison(runs),
        _validation(runs),
        _losses(runs),
        _agreement(runs),
        _draws(runs),
        _time(runs),
        Section('other', 'Also logged', parts=[Part(pass_charts(run, 'other')) for run in runs]),
        Section('pictures', 'Pictures', parts=pictures),
        _config(runs),
    ]
    return [section for section in sections if not section.empty]


def pictures_of(run: Run, predictions: int, device: str) -> Part:
    """Predictions drawn now, if asked for, then the pictures that a run left."""
    drawn: list[Picture] = []
    failures = []
    if predictions:
        try:
            drawn.append(predict(run, predictions, device))
        except Exception as error:
            if not is_about_input(error):
                raise
            failures.append(f'no predictions: {message_of(error)}')
    left, unreadable = pictures_left(run)
    notes = [*failures, *unreadable]
    if not (drawn or left or notes):
        notes.append(
            'the run left no pictures: --predict N draws the predictions of its last checkpoint'
        )
    return Part(pictures=[*drawn, *left], notes=notes, failed=bool(failures))


def _overview(runs: Sequence[Run]) -> Section:
    """Each run in a few lines, and what is special about its log."""
    tables = [starts(run) for run in runs]
    parts = [
        Part(tables=[table] if len(table.rows) > 1 else [], notes=run.notes)
        for run, table in zip(runs, tables, strict=True)
    ]
    shared = Part(tables=[overview(runs)])
    return Section('overview', 'Overview', shared=shared, parts=parts, nothing='')


def _comparison(runs: Sequence[Run]) -> list[Section]:
    """What differs between several runs: results and configs."""
    if len(runs) < 2:
        return []
    options = config_table(runs)
    notes = [] if options.rows else ['their configs are the same, work dirs aside']
    shared = Part(comparison_charts(runs), [last_metrics(runs), options], notes=notes)
    lead = f'In brackets: how much the last value is above that of {runs[0].name}.'
    return [Section('differences', 'Differences', lead, shared)]


def _validation(runs: Sequence[Run]) -> Section:
    """Metrics over the run."""
    parts = []
    for run in runs:
        table = metrics_of(run)
        none = [] if table.rows else ['no validation yet']
        parts.append(Part(precision_charts(run), [table] if table.rows else [], notes=none))
    return Section('validation', 'Validation', 'Of the full network.', parts=parts)


def _losses(runs: Sequence[Run]) -> Section:
    """Every loss of every pass."""
    lead = (
        'Each loss with a line for every pass that has it. Sub-networks learn from what the full '
        'network says (soft) and from labels (hard).'
    )
    parts = [Part(loss_charts(run), legend=legend_of(run)) for run in runs]
    return Section('losses', 'Losses', lead, parts=parts)


def _agreement(runs: Sequence[Run]) -> Section:
    """How far sub-networks say what the full network says."""
    parts = [Part(pass_charts(run, 'agreement'), legend=legend_of(run)[1:]) for run in runs]
    return Section('agreement', 'Agreement with the full network', parts=parts)


def _draws(runs: Sequence[Run]) -> Section:
    """Widths and scales."""
    lead = 'Of the logged iterations, which are one of each logging interval.'
    parts = [Part(draw_charts(run), legend=legend_of(run)[1:]) for run in runs]
    return Section('draws', 'Widths and scales drawn', lead, parts=parts)


def _time(runs: Sequence[Run]) -> Section:
    """Time of passes and iterations."""
    lead = 'Passes: of the logged iterations alone. Whole iterations: means up to the entry.'
    parts = []
    for run in runs:
        table = seconds_table(run)
        parts.append(Part(time_charts(run), [table] if table.rows else [], legend=legend_of(run)))
    return Section('time', 'Time', lead, parts=parts)


def _config(runs: Sequence[Run]) -> Section:
    """Versions, machine, seed, and the whole config of each run."""
    table = environment(runs)
    shared = Part(tables=[table] if table.rows else [])
    parts = [Part(text=run.config_text) for run in runs]
    nothing = 'the run left no config'
    return Section('config', 'Versions and config', shared=shared, parts=parts, nothing=nothing)
