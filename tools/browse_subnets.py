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

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from rich.progress import track

from mmgradaug.engine.arguments import add_number, config_parser
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.loading import endless, load_config
from mmgradaug.engine.preflight import check_data
from mmgradaug.training import GradAugOptions, SubnetSampler
from mmgradaug.visualization.colours import network_sees_bgr, statistics_of
from mmgradaug.visualization.subnets import SubnetView, save_subnets


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__)
    parser.add_argument('--out', type=Path, help='folder (default: work_dirs/CONFIG/subnets)')
    add_number(parser, '--iterations', default=4, least=1)
    add_number(parser, '--image', default=0, least=0, text='which of the batch')
    add_number(parser, '--seed', default=0, least=0, text='of data order, widths and scales')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the pictures and say where they are; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
    out = args.out or Path('work_dirs') / Path(args.config).stem / 'subnets'
    with one_line_errors():
        check_data(cfg, ('train',))
        options = GradAugOptions.parse(cfg.model.get('gradaug'))
        draw(cfg, options, out, args)
    print(f'{args.iterations} iterations drawn in {out}/')
    return 0


def draw(cfg: Config, options: GradAugOptions, out: Path, args: argparse.Namespace) -> None:
    """Write one picture an iteration.

    Raises:
        ValueError: If a batch has no image of the number asked for, or not of three channels.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    preprocessor: Any = MODELS.build(cfg.model.data_preprocessor)
    bgr = network_sees_bgr(cfg.model.data_preprocessor, cfg.train_dataloader.dataset)
    batches = endless(Runner.build_dataloader(cfg.train_dataloader, seed=args.seed))
    seed = args.seed if options.seed is None else options.seed
    for iteration in track(range(args.iterations), description='drawing', transient=True):
        batch = preprocessor(next(batches), True)
        if args.image >= len(batch['inputs']):
            raise ValueError(
                f'--image {args.image} of a batch of {len(batch["inputs"])}, expected at most '
                f'{len(batch["inputs"]) - 1}: images are counted from 0'
            )
        save_subnets(
            views_of(batch, options.sampler, seed, iteration, args.image),
            out / f'iteration_{iteration:03d}.png',
            *statistics_of(preprocessor),
            title=f'iteration {iteration}',
            bgr=bgr,
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
