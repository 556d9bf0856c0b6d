"""The tables of a report: a column for each run, the names of the columns in the first row."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pprint import pformat
from typing import Any

from ..evaluation.widths import AP_NAMES, MOST_METRICS
from .run import Run

Table = list[list[str]]

_NO_VALUE = '–'
_NOT_COMPARED = ('work_dir', 'experiment_name', 'resume', '_scope_')


def overview(runs: Sequence[Run]) -> Table:
    """Return what each run trains, how far it is and what it reached."""
    results: dict[str, str] = {}
    for run in runs:
        found = {n: label for n, label in AP_NAMES.items() if run.scalars.metric_key(n)}
        others = list(run.metrics())[:MOST_METRICS]
        results |= found or {name.split('/')[-1]: name for name in others}
    facts = {
        'model': [_model(run.config.get('model') or {}) for run in runs],
        'sub-networks': [_subnets(run.config.get('model') or {}) for run in runs],
        'progress': [run.progress() for run in runs],
        **{label: [_number(run.scalars.last(n)) for run in runs] for n, label in results.items()},
        'seconds per iteration': [_median(run.scalars.series('train', 'time')[1]) for run in runs],
        'last log entry': [f'{run.last_written:%Y-%m-%d %H:%M:%S}' for run in runs],
        'versions': [run.versions or _NO_VALUE for run in runs],
        'work dir': [str(run.path) for run in runs],
    }
    return [['', *(run.name for run in runs)], *([key, *cells] for key, cells in facts.items())]


def metrics_table(runs: Sequence[Run]) -> Table:
    """Return the last value of every metric, and the highest with its epoch or iteration."""
    metrics = [run.metrics() for run in runs]
    table = [['metric', *(run.name for run in runs)]]
    for name in dict.fromkeys(name for found in metrics for name in found):
        row = [name]
        for run, found in zip(runs, metrics, strict=True):
            if name not in found:
                row.append(_NO_VALUE)
                continue
            steps, values = found[name]
            best = max(values, key=lambda value: (value == value, value))  # not NaN
            step = steps[values.index(best)]
            row.append(f'{values[-1]:.3f}, highest {best:.3f} ({run.scalars.unit} {step:g})')
        table.append(row)
    return table


def config_table(runs: Sequence[Run]) -> Table:
    """Return every option, by dotted key, that is not the same in all configs."""
    configs = [dict(_options(run.config)) for run in runs]
    table = [['option', *(run.name for run in runs)]]
    for key in dict.fromkeys(key for config in configs for key in config):
        cells = [pformat(c[key], width=72) if key in c else 'not set' for c in configs]
        if key.split('.')[-1] not in _NOT_COMPARED and len(set(cells)) > 1:
            table.append([key, *cells])
    return table


def _options(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield every option and its value; dictionaries in lists are numbered by place."""
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _options(inner, f'{prefix}.{key}' if prefix else str(key))
    else:
        yield prefix, value


def _model(model: Mapping[str, Any]) -> str:
    """Return what is trained, in words."""
    kind = str(model.get('type', _NO_VALUE))
    if not isinstance(model.get('detector'), str):  # SoftTeacher's is a config
        return kind
    return model['detector'] + ('' if _subnets(model) == 'none' else ' with GradAug')


def _subnets(model: Mapping[str, Any]) -> str:
    """Return the options of sub-networks in words."""
    gradaug = model.get('gradaug') or {}
    if gradaug.get('num_subnets') == 0:
        return 'none'
    if gradaug:
        return ', '.join(f'{key} {value}' for key, value in gradaug.items())
    return 'default options' if 'GradAug' in str(model.get('type')) else 'none'


def _number(value: float | None) -> str:
    return _NO_VALUE if value is None else f'{value:.3f}'


def _median(values: Sequence[float]) -> str:
    return f'{statistics.median(values):.3g}' if values else _NO_VALUE
