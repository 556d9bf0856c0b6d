"""Draw what sub-networks will see: `tools/browse_subnets.py CONFIG`, on the config's own data.

One picture an iteration: the batch's image for the full network, then its transformed copy for
each sub-network with its width, depth and scale, as training draws them. Detectors' images have
their labels: boxes with class names, masks, and ignored regions in grey; of a classifier's the
title names the class, or the classes that are mixed. Data and classes are checked as tools/train.py
checks them. No network runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.runner import Runner
from rich.progress import track
from torch import Tensor

from mmgradaug.classification import GradAugClassifier
from mmgradaug.detection.labels import move_samples
from mmgradaug.engine.arguments import add_number, config_parser
from mmgradaug.engine.checks import check_data, check_model
from mmgradaug.engine.errors import InputError, one_line_errors
from mmgradaug.engine.hooks.bad_images import check_images
from mmgradaug.engine.loading import endless, load_config
from mmgradaug.engine.out_dir import make_out_dir
from mmgradaug.training import Subnet
from mmgradaug.visualization.colours import network_sees_bgr, statistics_of
from mmgradaug.visualization.objects import objects_of, with_ignored
from mmgradaug.visualization.subnets import SubnetView, save_subnets

LINE_WIDTH = 13.8  # inches of a picture, for two passes or three


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__)
    parser.add_argument('--out', type=Path, help='folder (default: work_dirs/CONFIG/subnets)')
    add_number(parser, '--iterations', default=4, least=1)
    add_number(parser, '--image', default=0, least=0, text='which of the batch')
    add_number(parser, '--seed', default=0, least=0, text='of data order, widths and scales')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Draw the pictures and say where they are; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True, classifiers=True)
    check_data(cfg, ('train',))
    model = check_model(cfg, ('train',))
    out = make_out_dir('--out', args.out or Path('work_dirs', Path(args.config).stem, 'subnets'))
    draw(cfg, model, out, args)
    print(f'{args.iterations} iterations drawn in {out}/')
    return 0


def draw(cfg: Config, model: Any, out: Path, args: argparse.Namespace) -> None:
    """Write one picture an iteration.

    Raises:
        BadImageError: If an image cannot be read.
        InputError: If a batch has no image of the number asked for.
    """
    classifies = isinstance(model, GradAugClassifier)  # its images are RGB when they are loaded
    bgr = not classifies and network_sees_bgr(
        cfg.model.data_preprocessor, cfg.train_dataloader.dataset
    )
    loader = training_loader(cfg, args.seed)
    names = loader.dataset.metainfo['classes']
    batches = endless(loader)
    seed = args.seed if model.gradaug.seed is None else model.gradaug.seed
    for iteration in track(range(args.iterations), description='drawing', transient=True):
        batch = model.data_preprocessor(next(batches), True)
        if args.image >= len(batch['inputs']):
            raise InputError(
                f'--image {args.image} of a batch of {len(batch["inputs"])}, expected at most '
                f'{len(batch["inputs"]) - 1}: images are counted from 0'
            )
        subnets = model.sampler.sample(seed, iteration)
        title = f'iteration {iteration}'
        if classifies:
            title += f': {classes_of(batch["data_samples"][args.image], names)}'
            views = views_of_classes(model, batch['inputs'], subnets, args.image)
        else:
            views = views_of(batch, subnets, args.image)
        save_subnets(
            views,
            out / f'iteration_{iteration:03d}.png',
            *statistics_of(model.data_preprocessor),
            title=title,
            bgr=bgr,
            class_names=names,
            panel_width=LINE_WIDTH / (2 if len(views) % 3 else 3),
        )


def training_loader(cfg: Config, seed: int) -> Any:
    """The config's training data, loaded by this process, which so can say what is wrong."""
    options = {k: v for k, v in cfg.train_dataloader.items() if k != 'prefetch_factor'}
    options |= {'num_workers': 0, 'persistent_workers': False}
    loader = Runner.build_dataloader(options, seed=seed)
    check_images(loader.dataset, 0, 'fix or remove the file')
    return loader


def views_of(batch: dict, subnets: Sequence[Subnet], image: int) -> list[SubnetView]:
    """What a detector's full network and every sub-network of an iteration see of an image.

    Args:
        batch: A preprocessed batch.
        subnets: The sub-networks.
        image: Index of the image in the batch.
    """
    images, samples = batch['inputs'], batch['data_samples']
    views = [labelled(images[image], samples[image], title='full network')]
    for number, subnet in enumerate(subnets, start=1):
        moved, mapping = subnet.transform(images)
        sample = move_samples(samples[image : image + 1], mapping)[0]
        what = {'width': subnet.width, 'scale': mapping.scale, 'title': f'sub-network {number}'}
        views.append(labelled(moved[image], sample, **what))
    return views


def labelled(image: Tensor, sample: DetDataSample, **what: Any) -> SubnetView:
    """An image (C, H, W) with all that its labels hold."""
    size = (image.size(-2), image.size(-1))
    objects = objects_of(sample.gt_instances, size)
    if 'ignored_instances' in sample:
        objects = with_ignored(objects, objects_of(sample.ignored_instances, size))
    boxes = get_box_tensor(sample.gt_instances.bboxes)
    return SubnetView(image, boxes, boxes_are='labels', objects=objects, **what)


def views_of_classes(
    model: GradAugClassifier, images: Tensor, subnets: Sequence[Subnet], image: int
) -> list[SubnetView]:
    """What a classifier's full network and every sub-network of an iteration see of an image.

    Args:
        model: Its residual blocks are those that random depth leaves out.
        images: A preprocessed batch (N, 3, H, W).
        subnets: The sub-networks.
        image: Index of the image in the batch.
    """
    views = [SubnetView(images[image], title='full network')]
    for number, subnet in enumerate(subnets, start=1):
        moved, mapping = subnet.transform(images)
        kept = subnet.kept_blocks(model)
        views.append(
            SubnetView(
                moved[image],
                width=subnet.width,
                depth=None if kept is None else sum(kept) / len(kept),
                scale=mapping.scale,
                title=f'sub-network {number}',
            )
        )
    return views


def classes_of(label: Tensor, names: Sequence[str]) -> str:
    """The class of an image, or the shares of those it is mixed of (classes,), in words."""
    if not label.dim():
        return names[int(label)]
    found = [(share, name) for share, name in zip(label.tolist(), names, strict=True) if share]
    return ', '.join(f'{share:.0%} {name}' for share, name in sorted(found, reverse=True))


if __name__ == '__main__':
    sys.exit(main())
