"""The tables of a report: a column for each run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any

from ..evaluation.widths import AP_NAMES, MOST_METRICS
from .run import Run

_NO_VALUE = '–'
_NOT_COMPARED = ('work_dir', 'experiment_name', '_scope_')  # the last is mmengine's own mark


@dataclass(frozen=True)
class Table:
    """A table: names of its columns, its rows, and whether cells are code."""

    columns: list[str]
    rows: list[list[str]]
    code: bool = False


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
        'seconds an iteration': [_median(run.scalars.series('train', 'time')[1]) for run in runs],
        'last log entry': [f'{run.last_written:%Y-%m-%d %H:%M:%S}' for run in runs],
        'work dir': [str(run.path) for run in runs],
    }
    return Table(['', *(run.name for run in runs)], [[k, *v] for k, v in facts.items()])


def metrics_table(runs: Sequence[Run]) -> Table:
    """Return the last value of every metric, and the highest with its epoch or iteration."""
    metrics = [run.metrics() for run in runs]
    rows = []
    for name in dict.fromkeys(name for found in metrics for name in found):
        row = [name]
        for run, found in zip(runs, metrics, strict=True):
            if name not in found:
                row.append(_NO_VALUE)
                continue
            steps, values = found[name]
            step = steps[values.index(max(values))]
            row.append(f'{values[-1]:.3f}, highest {max(values):.3f} ({run.unit} {step:g})')
        rows.append(row)
    return Table(['metric', *(run.name for run in runs)], rows)


def config_table(runs: Sequence[Run]) -> Table:
    """Return the options that differ between configs."""
    found = config_differences([run.config for run in runs])
    rows = [
        [key, *('not set' if v is None else pformat(v, width=72, sort_dicts=False) for v in values)]
        for key, values in found.items()
    ]
    return Table(['option', *(run.name for run in runs)], rows, code=True)


def config_differences(
    configs: Sequence[Mapping[Any, Any]], prefix: str = ''
) -> dict[str, list[Any]]:
    """Return the values of every option that is not the same in all configs, by dotted key.

    Lists of dictionaries are compared by place where they are equally long, and as a whole
    otherwise. A missing option is ``None``.
    """
    found: dict[str, list[Any]] = {}
    for key in dict.fromkeys(key for config in configs for key in config):
        values: list[Any] = [config.get(key) for config in configs]
        if _are_alike_lists(values):
            values = [dict(enumerate(value)) for value in values]
        if all(isinstance(value, Mapping) for value in values):
            found |= config_differences(values, f'{prefix}{key}.')
        elif key not in _NOT_COMPARED and any(value != values[0] for value in values):
            found[f'{prefix}{key}'] = values
    return found


def _are_alike_lists(values: Sequence[Any]) -> bool:
    """Return whether values are lists of equally many dictionaries."""
    if not all(isinstance(value, (list, tuple)) for value in values):
        return False
    items = [item for value in values for item in value]
    alike = len({len(value) for value in values}) == 1
    return alike and all(isinstance(item, Mapping) for item in items)


def _model(model: Mapping[str, Any]) -> str:
    """Return what is trained, in words."""
    kind = str(model.get('type', _NO_VALUE))
    return f'{model["detector"]} with GradAug' if 'detector' in model else kind


def _subnets(model: Mapping[str, Any]) -> str:
    """Return the options of sub-networks in words."""
    if 'gradaug' in model:
        return ', '.join(f'{key} {value}' for key, value in model['gradaug'].items())
    return 'default options' if 'GradAug' in str(model.get('type')) else 'none'


def _number(value: float | None) -> str:
    return _NO_VALUE if value is None else f'{value:.3f}'


def _median(values: Sequence[float]) -> str:
    return f'{statistics.median(values):.3g}' if values else _NO_VALUE
