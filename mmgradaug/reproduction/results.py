"""The paper's numbers beside those measured with this code, from records of runs."""

from __future__ import annotations

import ast
import csv
import json
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine.atomic import write_atomically
from ..errors import ConfigError
from ..training import GradAugOptions
from .rows import Row

INTRO = """# Every row of the paper, and what was measured with this code

Written by `tools/repro.py report` from `docs/results/`. *Paper* and *README* are the authors'
numbers. *Measured* are means ± deviations of the final epoch over seeds; where it is empty, no run
with this code is recorded. Accuracies, errors and AP are in percent.
"""
COLUMNS = ('row', 'metrics', 'paper', 'README', 'measured', 'seeds', 'command')


def read_records(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the records of files of JSON lines, in their order."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def lines_of(row: Row, records: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row's lines of the table: as it is, and as measured with further options.

    Of several records of a seed, made by other versions of config or code, the last counts.
    """
    finals: dict[tuple[tuple[str, ...], int], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record['id'] == row.id:
            key = tuple(record['options']), record['gpus']
            finals.setdefault(key, {})[record['seed']] = record['final']
    if not any(options == () for options, _ in finals):
        finals = {((), 1): {}, **finals}
    lines: list[tuple[str, ...]] = []
    for (options, gpus), by_seed in finals.items():
        command = f'python tools/repro.py run {row.id}'
        command += f' --seeds {len(by_seed)}' if by_seed else ''
        command += f' --gpus {gpus}' if gpus > 1 else ''
        command += f' --cfg-options {shlex.join(options)}' if options else ''
        given = ('', '') if options else (row.paper, row.readme)
        texts = [spread(m, [f.get(m) for f in by_seed.values()]) for m in row.metrics.split()]
        text = ' '.join(texts) if by_seed else ''
        lines.append((row.id, row.metrics, *given, text, str(len(by_seed) or ''), command))
    return lines


def spread(metric: str, values: Sequence[float | None]) -> str:
    """Return the mean of a metric, and its standard deviation over several seeds, as text."""
    factor = 100 if metric.startswith('coco/') else 1
    known = [factor * value for value in values if value is not None]
    std = f'±{statistics.stdev(known):.2f}' if len(known) > 1 else ''
    return f'{statistics.fmean(known):.2f}{std}' if known else '-'


def write_results(rows: Iterable[Row], records: Sequence[dict[str, Any]], docs: Path) -> None:
    """Write ``RESULTS.md`` and ``results.csv`` to a folder."""
    lines = [line for row in rows for line in lines_of(row, records)]
    text, heading = INTRO, ''
    for *cells, command in lines:
        table = cells[0].partition('/')[0]
        if table != heading:
            text += f'\n## {table}\n\n| {" | ".join(COLUMNS)} |\n|{"---|" * len(COLUMNS)}\n'
            heading = table
        text += f'| {" | ".join(cells)} | `{command}` |\n'
    write_atomically(text.encode(), docs / 'RESULTS.md')
    with open(docs / 'results.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file, lineterminator='\n').writerows([COLUMNS, *lines])


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
