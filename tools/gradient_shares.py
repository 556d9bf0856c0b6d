"""How much each loss of each pass pulls on the weights: `tools/gradient_shares.py CONFIG`.

Prints, averaged over a few batches of the config's own training data, the value of every loss
term, the norm of its gradient relative to the full network's, and the cosine between the two.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
from collections.abc import Sequence
from itertools import chain, islice, repeat

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmgradaug.classification import GradAugClassifier
from mmgradaug.detection import GradAugDetector
from mmgradaug.engine.checks import check_data, check_model
from mmgradaug.engine.cli import at_least, config_parser, load_config, one_line_errors
from mmgradaug.engine.hooks.bad_images import check_images
from mmgradaug.engine.weight_check import check_pretrained, check_weights
from mmgradaug.evaluation.gradients import TermGradient, measure_gradients


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = config_parser(__doc__)
    parser.add_argument('checkpoint', nargs='?', help='weights; by default initial ones')
    parser.add_argument('--batches', type=at_least(1), default=4)
    parser.add_argument('--seed', type=at_least(0), default=0)
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, (GradAugDetector, GradAugClassifier))
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # not how each weight is initialised
    check_data(cfg, ('train',))
    Console(width=100).print(table_of(measure(cfg, args)))
    return 0


def measure(cfg: Config, args: argparse.Namespace) -> list[list[TermGradient]]:
    """Return the gradients of each batch, of a checkpoint's weights or of initial ones."""
    torch.manual_seed(args.seed)
    model = check_model(cfg, ('train',))
    if args.checkpoint:
        check_weights(model, args.checkpoint)  # loads it
    else:
        check_pretrained(model)
        model.init_weights()
    model.train()
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    check_images(loader.dataset)
    # Small data sets have fewer batches in an epoch.
    batches = islice(chain.from_iterable(repeat(loader, args.batches)), args.batches)
    seed = args.seed if model.gradaug.seed is None else model.gradaug.seed
    results = []
    for index, data in enumerate(track(batches, 'batches', args.batches, transient=True)):
        batch = model.data_preprocessor(data, True)
        results.append(measure_gradients(model, batch, model.sampler.sample(seed, index)))
    return results


def table_of(results: list[list[TermGradient]]) -> Table:
    """Return means over batches, one row a term."""
    table = Table(title=f'gradients, mean over {len(results)} batches')
    for column in ('pass', 'term', 'loss', 'norm / full', 'cosine with full'):
        table.add_column(column, justify='left' if column in ('pass', 'term') else 'right')
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for rows in results:
        full = next(row.norm for row in rows if row.term == 'total')
        for row in rows:
            values = (row.loss, row.norm / full, row.cosine)
            found.setdefault((row.pass_name, row.term), []).append(values)
    for key, batches in found.items():
        loss, norm, cosine = map(statistics.mean, zip(*batches, strict=True))
        table.add_row(*key, f'{loss:.4f}', f'{norm:.3f}', f'{cosine:+.3f}')
    return table


if __name__ == '__main__':
    sys.exit(main())
