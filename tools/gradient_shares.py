"""How much each loss of each pass pulls on the weights: `tools/gradient_shares.py CONFIG`.

Prints, averaged over a few batches of the config's own training data, the value of every loss
term, the norm of its gradient relative to the full network's, and the cosine between the two.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, load_checkpoint
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmgradaug.checkpoints.safe_loading import safe_loading
from mmgradaug.engine.loading import endless, load_config
from mmgradaug.engine.preflight import check_data
from mmgradaug.evaluation.gradients import TermGradient, measure_gradients


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('config', help='a GradAug config')
    parser.add_argument('checkpoint', nargs='?', help='weights; by default initial ones')
    parser.add_argument('--batches', type=int, default=4, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
    try:
        check_data(cfg, ('train',))
    except FileNotFoundError as error:
        raise SystemExit(f'error: {error}') from error
    Console(width=100).print(table_of(measure(cfg, args)))
    return 0


def measure(cfg: Config, args: argparse.Namespace) -> list[list[TermGradient]]:
    """Gradients of each batch."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(args.seed)
    model: Any = MODELS.build(cfg.model)
    if args.checkpoint:
        with safe_loading():
            load_checkpoint(model, args.checkpoint, map_location='cpu', strict=True)
    else:
        model.init_weights()
    model.train()
    batches = endless(Runner.build_dataloader(cfg.train_dataloader, seed=args.seed))
    seed = args.seed if model.gradaug.seed is None else model.gradaug.seed
    results = []
    for index in track(range(args.batches), description='batches', transient=True):
        batch = model.data_preprocessor(next(batches), True)
        subnets = model.sampler.sample(seed, index)
        results.append(measure_gradients(model, batch, subnets))
    return results


def table_of(results: list[list[TermGradient]]) -> Table:
    """Means over batches, one row a term."""
    table = Table(title=f'gradients, mean over {len(results)} batches')
    for column in ('pass', 'term', 'loss', 'norm / full', 'cosine with full'):
        table.add_column(column, justify='left' if column in ('pass', 'term') else 'right')
    totals = [next(r.norm for r in rows if r.term == 'total') for rows in results]
    keys = dict.fromkeys((row.pass_name, row.term) for rows in results for row in rows)
    for name, term in keys:
        found = [
            (row, total)
            for rows, total in zip(results, totals, strict=True)
            for row in rows
            if (row.pass_name, row.term) == (name, term)
        ]
        table.add_row(
            name,
            term,
            f'{statistics.mean(row.loss for row, _ in found):.4f}',
            f'{statistics.mean(row.norm / total for row, total in found):.3f}',
            f'{statistics.mean(row.cosine for row, _ in found):+.3f}',
        )
    return table


if __name__ == '__main__':
    sys.exit(main())
