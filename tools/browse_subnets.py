"""Draw what sub-networks will see: `tools/browse_subnets.py CONFIG`, on the config's own data.

One picture an iteration: the batch's image for the full network, then its transformed copy for
each sub-network with its labels, width and scale, as training draws them. No network runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from rich.progress import track

from mmgradaug.engine.loading import endless, load_config
from mmgradaug.engine.preflight import check_data
from mmgradaug.training import GradAugOptions, SubnetSampler
from mmgradaug.visualization.subnets import SubnetView, save_subnets


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('config', help='a GradAug config')
    parser.add_argument('--out', type=Path, help='folder (default: work_dirs/CONFIG/subnets)')
    parser.add_argument('--iterations', type=int, default=4, help='(default: %(default)s)')
    parser.add_argument('--image', type=int, default=0, help='which of the batch')
    parser.add_argument('--seed', type=int, default=0, help='of data order, widths and scales')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the pictures and say where they are; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
    try:
        check_data(cfg, ('train',))
        options = GradAugOptions.parse(cfg.model.get('gradaug'))
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    out = args.out or Path('work_dirs') / Path(args.config).stem / 'subnets'
    draw(cfg, options, out, args)
    print(f'{args.iterations} iterations drawn in {out}/')
    return 0


def draw(cfg: Config, options: GradAugOptions, out: Path, args: argparse.Namespace) -> None:
    """Write one picture an iteration."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    preprocessor: Any = MODELS.build(cfg.model.data_preprocessor)
    batches = endless(Runner.build_dataloader(cfg.train_dataloader, seed=args.seed))
    seed = args.seed if options.seed is None else options.seed
    for iteration in track(range(args.iterations), description='drawing', transient=True):
        batch = preprocessor(next(batches), True)
        save_subnets(
            views_of(batch, options.sampler, seed, iteration, args.image),
            out / f'iteration_{iteration:03d}.png',
            preprocessor.mean.flatten(),
            preprocessor.std.flatten(),
            title=f'iteration {iteration}',
        )


def views_of(
    batch: dict, sampler: SubnetSampler, seed: int, iteration: int, image: int
) -> list[SubnetView]:
    """What the full network and every sub-network of an iteration see of an image.

    Args:
        batch: A preprocessed batch.
        sampler: Draws widths and transforms.
        seed: Seed of the draws.
        iteration: Number of the iteration.
        image: Index of the image in the batch.
    """
    objects = batch['data_samples'][image].gt_instances
    labels = {'labels': objects.labels, 'boxes_are': 'labels'}
    views = [SubnetView(batch['inputs'][image], objects.bboxes, title='full network', **labels)]
    for number, subnet in enumerate(sampler.sample(seed, iteration), start=1):
        images, mapping = subnet.transform(batch['inputs'])
        view = SubnetView(
            images[image],
            mapping.boxes(objects.bboxes),
            width=subnet.width,
            scale=mapping.scale,
            title=f'sub-network {number}',
            **labels,
        )
        views.append(view)
    return views


if __name__ == '__main__':
    sys.exit(main())
