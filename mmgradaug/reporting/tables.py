"""The tables of a report: a column for each run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.widths import AP_NAMES, MOST_METRICS
from ..publishing import trains_subnets
from .differences import config_differences, shown
from .log_keys import names_of, pass_title
from .run import Run, model_name

_ENVIRONMENT = ('sys.platform', 'Python', 'CUDA available', 'GPU 0', 'GPU number', 'PyTorch',
                'TorchVision', 'OpenCV', 'MMEngine', 'seed', 'deterministic')  # fmt: skip
_TIMES = {'seconds': '', 'time': 'whole iteration', 'data_time': 'of it, waiting for data'}
_NO_VALUE = '–'


@dataclass(frozen=True)
class Table:
    """A table: names of its columns, its rows, and whether cells are code."""

    columns: list[str]
    rows: list[list[str]]
    code: bool = False


def overview(runs: Sequence[Run]) -> Table:
    """What each run trains, how far it is and what it reached."""
    facts = {
        'model': [model_name(run.config) if run.config else _NO_VALUE for run in runs],
        'sub-networks': [_subnets(run) for run in runs],
        'progress': [run.progress() for run in runs],
        **_results(runs),
        'last log entry': [f'{run.last_written:%Y-%m-%d %H:%M:%S}' for run in runs],
        'time, all starts': [_duration(run.seconds) for run in runs],
        'seconds an iteration': [_median(run, 'time') for run in runs],
        'work dir': [str(run.path) for run in runs],
    }
    return _by_run(runs, facts)


def _results(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The last box and mask AP of each run, or its first metrics where it has neither."""
    names: dict[str, str] = {}
    for run in runs:
        found = {n: label for n, label in AP_NAMES.items() if run.scalars.metric_key(n)}
        others = list(run.metrics())[:MOST_METRICS]
        names |= found or {name.split('/')[-1]: name for name in others}
    return {label: [_last(run, name) for run in runs] for name, label in names.items()}


def metrics_of(run: Run) -> Table:
    """Last and highest value of every metric."""
    unit = 'epoch' if run.scalars.by_epoch else 'iteration'
    rows = []
    for name, pairs in run.metrics().items():
        step, highest = max(pairs, key=lambda pair: pair[1])
        rows.append([name, f'{pairs[-1][1]:.3f}', f'{highest:.3f} ({unit} {step:g})'])
    return Table(['metric', 'last', 'highest'], rows)


def last_metrics(runs: Sequence[Run]) -> Table:
    """The last value of every metric, with its difference from the first run's."""
    metrics = [run.metrics() for run in runs]
    rows = []
    for name in dict.fromkeys(name for found in metrics for name in found):
        first, *others = (found[name][-1][1] if name in found else None for found in metrics)
        rows.append([name, _against(first, None), *(_against(v, first) for v in others)])
    return Table(['metric, last value', *(run.name for run in runs)], rows)


def config_table(runs: Sequence[Run]) -> Table:
    """Options that differ."""
    found = config_differences([run.config for run in runs])
    rows = [[key, *map(shown, values)] for key, values in found.items()]
    return Table(['option', *(run.name for run in runs)], rows, code=True)


def seconds_table(run: Run) -> Table:
    """Median and quartiles of the time of each pass, and of whole iterations."""
    rows = []
    names = names_of(run.scalars.train, 'seconds')
    for name in [name for name in _TIMES if name in names]:
        for owner, key in names[name].items():
            title = _TIMES[name] or pass_title(owner)
            values = run.scalars.series('train', key)[1]
            low, median, high = np.percentile(values, (25, 50, 75))
            rows.append([title, f'{median:.3g}', f'{low:.3g} to {high:.3g}'])
    return Table(['seconds', 'median', 'quartiles'], rows)


def environment(runs: Sequence[Run]) -> Table:
    """Versions, machine and seed, as the runs logged them."""
    known = [_environment(run) for run in runs]
    names = dict.fromkeys(name for facts in known for name in facts)
    return _by_run(runs, {name: [facts.get(name, _NO_VALUE) for facts in known] for name in names})


def starts(run: Run) -> Table:
    """The starts of a run that was resumed."""
    rows = [
        [f.path.name, f'{f.start[1]:g}', f'{f.reached:g}', _duration(f.text.seconds)]
        for f in run.folders
        if f.entries
    ]
    return Table(['start', 'from iteration', 'to', 'time'], rows)


def _by_run(runs: Sequence[Run], facts: dict[str, list[str]]) -> Table:
    """A table of facts, a column for each run."""
    return Table(['', *(run.name for run in runs)], [[k, *v] for k, v in facts.items()])


def _environment(run: Run) -> dict[str, str]:
    """Versions by our hook, if the run had it, then what mmengine logs."""
    text = run.newest.text
    return {**text.versions, **{k: v for k, v in text.environment.items() if k in _ENVIRONMENT}}


def _subnets(run: Run) -> str:
    """The options of sub-networks in words."""
    model = run.config.get('model') or {}
    if not trains_subnets(model):
        return 'none' if run.config else _NO_VALUE
    options = model.get('gradaug') or {}
    named = ', '.join(f'{key} {_called(value)}' for key, value in options.items())
    return named or 'default options'


def _called(value: Any) -> str:
    """An option; of what is built from a type, the type as called."""
    if not isinstance(value, Mapping) or 'type' not in value:
        return shown(value)
    return f'{value["type"]}({", ".join(f"{k}={v}" for k, v in value.items() if k != "type")})'


def _last(run: Run, suffix: str) -> str:
    """The last value of a metric."""
    value = run.scalars.last(suffix)
    return _NO_VALUE if value is None else f'{value:.3f}'


def _median(run: Run, key: str) -> str:
    """The median of a logged value."""
    values = run.scalars.series('train', key)[1]
    return f'{statistics.median(values):.3g}' if values else _NO_VALUE


def _against(value: float | None, first: float | None) -> str:
    """A value and how much it is above that of the first run."""
    if value is None:
        return _NO_VALUE
    return f'{value:.3f}' if first is None else f'{value:.3f} ({value - first:+.3f})'


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    if not seconds:
        return _NO_VALUE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02} min' if hours else f'{minutes} min {rest:02} s'
