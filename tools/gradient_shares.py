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
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmgradaug.checkpoints.safe_loading import safe_loading
from mmgradaug.engine.arguments import add_number, config_parser
from mmgradaug.engine.console import no_init_log
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.loading import endless, load_config
from mmgradaug.engine.preflight import check_data, check_model, check_weights
from mmgradaug.engine.preflight.checkpoints import load_weights
from mmgradaug.engine.samples import name_samples
from mmgradaug.evaluation.gradients import TermGradient, measure_gradients


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__)
    parser.add_argument('checkpoint', nargs='?', help='weights; by default initial ones')
    add_number(parser, '--batches', default=4, least=1)
    add_number(parser, '--seed', default=0, least=0)
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
    check_data(cfg, ('train',))
    model = prepared_model(cfg, args)
    Console(width=100).print(table_of(measure(cfg, model, args)))
    return 0


def prepared_model(cfg: Config, args: argparse.Namespace) -> Any:
    """The detector with the weights of the checkpoint, or initial ones, in training mode."""
    check_model(cfg, ('train',))
    torch.manual_seed(args.seed)
    with safe_loading(), no_init_log():  # of a teacher, and of pretrained weights
        model: Any = MODELS.build(cfg.model)
        if args.checkpoint:
            load_weights(model, args.checkpoint)
        else:
            check_weights(cfg)
            model.init_weights()
    return model.train()


def measure(cfg: Config, model: Any, args: argparse.Namespace) -> list[list[TermGradient]]:
    """Gradients of each batch."""
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    name_samples(loader.dataset, 'train_dataloader')
    batches = endless(loader)
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
