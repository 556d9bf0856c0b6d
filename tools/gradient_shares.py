"""How much each loss of each pass pulls on the weights: `tools/gradient_shares.py CONFIG`.

Prints, averaged over a few batches of the config's own training data, the value of every loss
term, the norm of its gradient relative to the full network's, and the cosine between the two.
"""

import argparse
import math
import statistics
from collections.abc import Sequence
from itertools import chain, islice, repeat
from typing import Any

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('checkpoint', nargs='?', help='weights; by default initial ones')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    add('--batches', type=int, default=4)
    add('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    import torch  # these take seconds, which --help need not wait for
    from mmengine.logging import MMLogger
    from mmengine.runner import Runner
    from rich.progress import track

    from mmgradaug.engine.checks import check_data, check_model
    from mmgradaug.engine.cli import load_config, one_line_errors
    from mmgradaug.engine.hooks.bad_images import check_loading
    from mmgradaug.engine.weight_check import check_pretrained, load_weights
    from mmgradaug.evaluation.gradients import measure_gradients
    from mmgradaug.evaluation.random_batch import stand_in_for_runner

    with one_line_errors():
        cfg = load_config(args.config, args.cfg_options, gradaug=True)
        MMLogger.get_current_instance().setLevel('WARNING')  # not how weights are initialised
        check_data(cfg, ('train',))
        stand_in_for_runner()
        torch.manual_seed(args.seed)
        model = check_model(cfg, ('train',))
        if args.checkpoint:
            load_weights(model, args.checkpoint)
        else:
            check_pretrained(model)
            model.init_weights()
        model.train()
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
        check_loading(loader.dataset)
        # Small data sets have fewer batches in an epoch.
        batches = islice(chain.from_iterable(repeat(loader, args.batches)), args.batches)
        seed = args.seed if model.gradaug.seed is None else model.gradaug.seed
        results = []
        for index, data in enumerate(track(batches, 'batches', args.batches, transient=True)):
            batch = model.data_preprocessor(data, True)
            results.append(measure_gradients(model, batch, model.sampler.sample(seed, index)))
        print_terms(results)


def print_terms(results: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f'gradients, mean over {len(results)} batches')
    for column in ('pass', 'term', 'loss', 'norm / full', 'cosine with full'):
        table.add_column(column, justify='left' if column in ('pass', 'term') else 'right')
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for rows in results:
        full = next(row.norm for row in rows if row.term == 'total')
        for row in rows:
            values = (row.loss, row.norm / (full or math.nan), row.cosine)
            found.setdefault((row.pass_name, row.term), []).append(values)
    for key, batches in found.items():
        loss, norm, cosine = map(statistics.mean, zip(*batches, strict=True))
        table.add_row(*key, f'{loss:.4f}', f'{norm:.3f}', f'{cosine:+.3f}')
    Console(width=100).print(table)


if __name__ == '__main__':
    main()
