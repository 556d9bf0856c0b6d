"""The rows of the paper's tables and figures, ``rows.csv``, and what was measured of them."""

import ast
import csv
import json
import math
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from ..engine.atomic import write_atomically
from ..errors import ConfigError, suggestion
from ..training import GradAugOptions

INTRO = """# Every row of the paper, and what was measured with this code

Written by `tools/repro.py report` from `docs/results/`. *Paper* and *README* are the authors'
numbers. *Measured* are means ± deviations of the final epoch over seeds; where it is empty, no run
with this code is recorded. Accuracies, errors and AP are in percent, T2/step has ratios.
"""
PAPER_ROWS = Path(__file__).with_name('rows.csv')
SWEPT = {'model.gradaug.num_subnets', 'model.gradaug.min_width'}  # in figure 2
COLUMNS = ('row', 'metrics', 'paper', 'README', 'measured', 'seeds', 'command')


@dataclass(frozen=True)
class Row:
    """A row: a config and options, the paper's numbers, and what to know about it.

    Several values in a text are separated by spaces; ``-`` is one that is not given.
    """

    id: str  # table or figure, network and method: T3/wrn28-10/gradaug-cutmix
    config: str  # path from the project's folder
    # Its --cfg-options; {seed} is the number of the run, {needs} the last checkpoint of the run of
    # the row `needs` with the same seed, a backbone's for instance.
    options: str = ''
    # Command after training with {config}, {checkpoint} and {out}, a folder for a JSON file.
    evaluation: str = ''
    smoke_options: str = ''  # options of that command when it is only tried
    metrics: str = 'accuracy/top1'  # of the validation, or paths in the JSON, dots between keys
    paper: str = ''  # the paper's values of these
    readme: str = ''  # those of the authors' README, where they differ
    hours: str = ''  # GPU hours of a run on the paper's 1080 Ti
    basis: str = ''  # of these: minutes per epoch of Table 2, or those scaled by FLOPs
    data: str = ''  # data set, and files that have to be made first
    note: str = ''  # where paper, README, code and this project disagree
    needs: str = ''  # id of the row that has to be trained first
    seeds: str = '0-0'  # first and last, in a study

    @property
    def trains(self) -> bool:
        """Return whether it needs a training: not if its command takes no checkpoint."""
        return not self.evaluation or '{checkpoint}' in self.evaluation

    @property
    def all_seeds(self) -> range:
        """Return the seeds that a study trains it with."""
        first, last = map(int, self.seeds.split('-'))
        return range(first, last + 1)

    def options_of(self, seed: int, needs: Path | str = '{needs}') -> list[str]:
        """Return the options of the run with a seed that takes over a checkpoint."""
        options = self.options.format(seed=seed, needs=needs)
        return [f'randomness.seed={seed}', *options.split()]


def read_rows(path: Path = PAPER_ROWS) -> dict[str, Row]:
    """Return the rows of a table, the paper's by default, by id and in their order."""
    with open(path, newline='', encoding='utf-8') as file:
        return {line['id']: Row(**line) for line in csv.DictReader(file)}


def select_rows(rows: Mapping[str, Row], ids: Sequence[str]) -> list[Row]:
    """Return the rows of some ids, or of beginnings of ids (``T3``, ``T3/wrn28-10``).

    Raises:
        ConfigError: If no row has such an id.
    """
    found: dict[str, Row] = {}
    for wanted in ids:
        own = {name: row for name, row in rows.items() if f'{name}/'.startswith(f'{wanted}/')}
        if not own:
            near = suggestion(wanted, rows)
            raise ConfigError(f'no row {wanted!r}{near}, expected an id or its beginning')
        found |= own
    return list(found.values())


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
        columns = ([percent(m, final) for final in by_seed.values()] for m in row.metrics.split())
        text = ' '.join(map(spread, columns)) if by_seed else ''
        lines.append((row.id, row.metrics, *given, text, str(len(by_seed) or ''), command))
    return lines


def percent(metric: str, final: Mapping[str, Any]) -> Any:
    """Return a value in percent: COCO's are fractions, and AP is missing where nothing is found."""
    if not metric.startswith('coco/'):
        return final.get(metric)
    return 100 * (final.get(metric) or 0.0) if 'mAP' in metric else 100 * final[metric]


def spread(values: Sequence[Any]) -> str:
    """Return mean and, of several values, standard deviation as text; ``-`` of None and of NaN."""
    if None in values or any(map(math.isnan, values)):
        return '-'
    std = f'±{statistics.stdev(values):.2f}' if len(values) > 1 else ''
    return f'{statistics.fmean(values):.2f}{std}'


def write_results(rows: Iterable[Row], records: Sequence[dict[str, Any]], docs: Path) -> None:
    """Write ``RESULTS.md`` and ``results.csv`` to a folder."""
    lines = [line for row in rows for line in lines_of(row, records)]
    text = INTRO
    for table, group in groupby(lines, lambda line: line[0].partition('/')[0]):
        text += f'\n## {table}\n\n| {" | ".join(COLUMNS)} |\n|{"---|" * len(COLUMNS)}\n'
        for *cells, command in group:
            text += f'| {" | ".join(cells)} | `{command}` |\n'
    write_atomically(text.encode(), docs / 'RESULTS.md')
    with open(docs / 'results.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file, lineterminator='\n').writerows([COLUMNS, *lines])


class SweptRun(NamedTuple):
    """Options of a run, and what came of it; plain training has no sub-networks, of width 1."""

    num_subnets: int
    min_width: float
    value: float  # of its metric
    seconds: float  # of a training step, the median; NaN of older records


def read_sweep(rows: Sequence[Row], records: Iterable[Mapping[str, Any]]) -> list[SweptRun]:
    """Return the runs of rows of the paper, from the runner's records.

    A training of several rows, or of several versions, counts once, and one that a user gave
    options of other names does not. Raises ConfigError if none trained sub-networks.
    """
    runs: dict[Any, SweptRun] = {}
    by_id = {row.id: row for row in rows}
    for record in records:
        row = by_id.get(record['id'])
        if row is None or not {option.split('=')[0] for option in record['options']} <= SWEPT:
            continue
        gradaug = dict(Config.fromfile(row.config).model.get('gradaug') or {'num_subnets': 0})
        options = dict(o.split('=', 1) for o in [*row.options.split(), *record['options']])
        for name in SWEPT & options.keys():
            gradaug[name.split('.')[2]] = ast.literal_eval(options.pop(name))
        sampler = GradAugOptions.parse(gradaug).sampler
        width = sampler.min_width if sampler.num_subnets else 1.0
        setting = row.config, *options.items(), sampler.num_subnets, width, record['seed']
        value = percent(row.metrics.split()[0], record['final'])
        seconds = record.get('step_seconds') or math.nan
        runs[setting] = SweptRun(sampler.num_subnets, width, value, seconds)
    if not any(run.num_subnets for run in runs.values()):
        raise ConfigError('no record of these rows has sub-networks: run tools/repro.py first')
    return list(runs.values())
