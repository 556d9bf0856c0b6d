"""The study of docs/STUDY.md: the cost of its settings, and tables and pictures of its records."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from mmengine.config import Config
from scipy.stats import t as student

from ..engine.atomic import write_atomically
from ..visualization.sweeps import save_frontier
from .rows import Row, percent, spread
from .runner import Run

# A table or a picture of all settings whose ids begin alike, and their plain one.
BLOCK = re.compile(
    r'(<!-- (table|frontier): (\S+) against (\S+) -->\n).*?(<!-- end -->)', re.DOTALL
)
STEP = tuple(f'gradaug.{name}' for name in ('num_subnets', 'min_width', 'transform'))
Steps = Mapping[str, Mapping[str, Any]]  # what benchmark.py writes of each config


@dataclass
class Setting:
    """A row of the study: final values by seed, one for each metric, and cost in plain runs."""

    row: Row
    cost: float
    values: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def against(self, other: Setting) -> list[tuple[float, float]]:
        """Return :func:`interval` of each metric's differences, or nothing of a single seed's."""
        seeds = sorted(self.values.keys() & other.values.keys())
        pairs = [list(zip(self.values[s], other.values[s], strict=True)) for s in seeds]
        metrics = zip(*pairs, strict=True) if len(pairs) > 1 else ()
        return [interval([own - base for own, base in metric]) for metric in metrics]


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the mean of paired differences and half of its 95 % interval by Student's t."""
    count = len(differences)
    half = float(student.ppf(0.975, count - 1)) * float(np.std(differences, ddof=1)) / count**0.5
    return fmean(differences), half


def variant(row: Row) -> str:
    """Return the options that change what a GradAug step costs, for ``benchmark.py --variants``."""
    words = [word.removeprefix('model.') for word in row.options.split()]
    return ' '.join(word for word in words if word.startswith(STEP))


def cost_of(row: Row, steps: Steps) -> float:
    """Return the time of a row's training in those of its config's plain one, from measured steps.

    Iterations without sub-networks (``every``, ``active``) cost a plain step.
    """
    cfg = Config.fromfile(row.config)
    name = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
    options = dict(word.split('=', 1) for word in row.options.split())
    length = int(options.get(f'train_cfg.{name}', cfg.train_cfg[name])) / cfg.train_cfg[name]
    if 'gradaug' not in cfg.model:
        return length
    start, end = ast.literal_eval(options.get('model.gradaug.active', '(0.0,1.0)'))
    share = (end - start) / int(options.get('model.gradaug.every', 1))
    step = steps[row.config][f'GradAug, {variant(row)}'.removesuffix(', ')]
    return length * (1 + share * (step['ratio']['time'] - 1))


def read_settings(
    runs: Iterable[Run], records: Iterable[Mapping[str, Any]], steps: Steps
) -> dict[str, Setting]:
    """Return what is recorded of runs by row; records of other options or configs do not count."""
    known = {record['hash']: record for record in records}  # of any row of the same recipe
    found: dict[str, Setting] = {}
    for run in runs:
        if record := known.get(run.hash):
            row = run.row
            if row.id not in found:
                found[row.id] = Setting(row, cost_of(row, steps))
            values = tuple(percent(name, record['final']) for name in row.metrics.split())
            found[row.id].values[run.seed] = values
    return found


def write_study(settings: Mapping[str, Setting], docs: Path) -> None:
    """Fill in the tables and pictures of ``STUDY.md``.

    Each is between ``<!-- table: PREFIX against ID -->`` (or ``frontier``) and ``<!-- end -->``.
    """

    def fill(block: re.Match[str]) -> str:
        head, kind, prefix, base, end = block.groups()
        plain = settings.get(base)
        if plain is None or len(plain.values) < 2:
            return f'{head}\nNot run yet.\n\n{end}'
        own = {
            name.removeprefix(f'{prefix}/'): setting
            for name, setting in settings.items()
            if name.startswith(f'{prefix}/') and setting.against(plain)
        }
        if kind == 'table':
            return f'{head}\n{table(own, plain)}\n{end}'
        path = docs / 'images' / f'study_{prefix.replace("/", "_")}.png'
        points = {n: (s.cost / plain.cost, *s.against(plain)[0]) for n, s in own.items()}
        save_frontier(points, path, f'{prefix}: {plain.row.metrics.split()[0]}')
        return f'{head}\n![{prefix}: gain over cost](images/{path.name})\n\n{end}'

    path = docs / 'STUDY.md'
    write_atomically(BLOCK.sub(fill, path.read_text()).encode(), path)


def table(settings: Mapping[str, Setting], base: Setting) -> str:
    """Return a Markdown table of settings and, in brackets, their differences from one of them.

    Bold are those on the frontier: none that costs as much or less gains more. There is none for
    fine-tuning, whose pretraining is not in the cost.
    """
    names = [name.partition('.')[0].rpartition('/')[2] for name in base.row.metrics.split()]
    heads = ['setting', 'cost', 'seeds', *names]
    text = f'| {" | ".join(heads)} |\n|{"---|" * len(heads)}\n'
    gains = {name: setting.against(base) for name, setting in settings.items()}
    for name, setting in settings.items():
        best = max(gains[n][0][0] for n, other in settings.items() if other.cost <= setting.cost)
        on_frontier = gains[name][0][0] == best and not base.row.needs
        cells = [f'**{name}**' if on_frontier else name]
        cells += [f'{setting.cost / base.cost:.2f}', str(len(setting.values))]
        columns = zip(*setting.values.values(), strict=True)
        for values, (mean, half) in zip(columns, gains[name], strict=True):
            gain = '' if setting is base or np.isnan(mean) else f' ({mean:+.2f}±{half:.2f})'
            cells.append(spread(values) + gain)
        text += f'| {" | ".join(cells)} |\n'
    return text
