"""Results over the number of sub-networks and their smallest width (figure 2), and their cost."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, mode
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from ..training import GradAugOptions
from .canvas import colour_at, new_figure, save_figure

# By number and smallest width, and by recipe and seed: a run's final value and its seconds.
Runs = dict[tuple[int, float], dict[tuple[str, int], tuple[float, float]]]


def read_sweep(rows: Sequence[Any], records: Iterable[Mapping[str, Any]]) -> Runs:
    """Return the runs of rows of the paper, from the runner's records; plain ones have (0, 1).

    A training of several rows counts once. Raises ConfigError if none trained sub-networks.
    """
    runs: Runs = {}
    by_id = {row.id: row for row in rows}
    for record in (record for record in records if record['id'] in by_id):
        row = by_id[record['id']]
        gradaug = dict(Config.fromfile(row.config).model.get('gradaug') or {'num_subnets': 0})
        for option in [*row.options.split(), *record['options']]:
            name, _, value = option.removeprefix('model.gradaug.').partition('=')
            if name in ('num_subnets', 'min_width'):
                gradaug[name] = ast.literal_eval(value)
        sampler = GradAugOptions.parse(gradaug).sampler
        key = (sampler.num_subnets, sampler.min_width) if sampler.num_subnets else (0, 1.0)
        result = record['final'][row.metrics.split()[0]], record['seconds']
        runs.setdefault(key, {})[record['hash'], record['seed']] = result
    if not any(count for count, _ in runs):
        raise ConfigError('no record of these rows has sub-networks: run tools/repro.py first')
    return runs


def save_sweep(runs: Runs, path: Path | str, metric: str) -> Path:
    """Draw a metric over both options, each at the other's most frequent value, and over the time.

    Lines are means, dots seeds; beside them stands the time of a run relative to plain training,
    where there is one. Returns the path of the picture.
    """
    count, width = (mode(values) for values in zip(*(k for k in runs if k[0]), strict=True))
    seconds = {key: fmean(time for _, time in of.values()) for key, of in runs.items()}
    times = {key: time / seconds[0, 1.0] for key, time in seconds.items() if (0, 1.0) in runs}
    panels: dict[str, dict[tuple[int, float], float]] = {
        f'sub-networks, widths from {width:g}': {
            k: k[0] for k in runs if k[1] == width or not k[0]
        },
        f'smallest width, {count} sub-networks': {k: k[1] for k in runs if k[0] == count},
        'time of a run, relative to plain training': times,
    }
    figure = new_figure(13.0, 4.2, metric)
    for axes, (xlabel, places) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.set(xlabel=xlabel, xmargin=0.15)
        means = []
        for key, x in sorted(places.items(), key=lambda place: place[1]):
            values = [value for value, _ in runs[key].values()]
            means.append((x, fmean(values)))
            axes.plot([x] * len(values), values, 'o', color=colour_at(0), markersize=3)
            name = f'n={key[0]}, {key[1]:g}' if key[0] else 'plain'
            text = name if places is times else f'{times[key]:.2f} x' if times else ''
            axes.annotate(text, means[-1], (5, 5), textcoords='offset points', fontsize=8)
        if places is not times:
            axes.plot(*zip(*means, strict=True), color=colour_at(0))
            axes.set_xticks([x for x, _ in means])
    return save_figure(figure, path)
