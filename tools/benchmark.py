"""What GradAug costs: plain and GradAug training steps in turn, on the same images.

`tools/benchmark.py CONFIG` prints FLOPs, time and peak memory of a training step of the stock
detector or classifier, of the same with the slimmable backbone, of GradAug, and of torchvision's
ResNet where a classifier has one, with their ratios; the time of every pass; and how many
different convolutions a run asks for. Images and labels are random; nothing is read but the config.
"""

from __future__ import annotations

import os

# torch's profiler, which counts memory, reports a missing GPU as an error otherwise. It is read
# when torch is imported.
os.environ.setdefault('KINETO_LOG_LEVEL', '5')

import argparse
import sys

import torch

from mmgradaug.backbones.image_channels import image_channels
from mmgradaug.engine.arguments import add_number, at_least, config_parser
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.loading import load_config
from mmgradaug.engine.preflight import check_model
from mmgradaug.evaluation.conv_shapes import ConvShapes
from mmgradaug.evaluation.cost import StepCost, measure_costs
from mmgradaug.evaluation.cost_kinds import is_classifier
from mmgradaug.evaluation.cost_tables import print_costs, print_shapes


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__)
    parser.add_argument(
        '--size',
        type=at_least(32),
        nargs=2,
        metavar=('H', 'W'),
        help='default: 320 512 for detectors, 224 224 for classifiers',
    )
    parser.add_argument(
        '--batch',
        type=at_least(1),
        metavar='N',
        help='images (default: 2 for detectors, 16 for classifiers)',
    )
    add_number(parser, '--rounds', default=7, least=1, text='of all steps')
    add_number(parser, '--warmup', default=1, least=0, text='rounds not counted')
    parser.add_argument(
        '--same-draws',
        action='store_true',
        help='warm up with the widths and scales that are measured: the cost of shapes seen before',
    )
    parser.add_argument(
        '--memory-rounds',
        type=at_least(1),
        metavar='N',
        help='of how many rounds to measure the memory, a step more of each (default: all)',
    )
    add_number(
        parser, '--shapes', default=1000, least=0, text='iterations to count convolutions of'
    )
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', type=usable_device, default=default)
    parser.add_argument(
        '--variants',
        nargs='+',
        default=(),
        metavar='OPTIONS',
        help="more GradAug steps to compare, such as 'gradaug.width_step=0.025'",
    )
    return parser.parse_args(argv)


def usable_device(name: str) -> str:
    """An argparse type: a device on which a tensor can be made."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f'{name!r} cannot be used: {reason}') from error
    return name


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True, classifiers=True)
    model = check_model(cfg)
    classifier = is_classifier(cfg)
    args.size = tuple(args.size or ((224, 224) if classifier else (320, 512)))
    args.batch = args.batch or (16 if classifier else 2)
    costs: list[StepCost] = measure_costs(
        cfg,
        args.size,
        args.batch,
        args.rounds,
        args.warmup,
        args.device,
        args.variants,
        args.memory_rounds,
        args.same_draws,
    )
    print_costs(costs, args)
    if args.shapes:
        channels = image_channels(cfg.model.backbone)
        print_shapes(ConvShapes(model, args.size, channels).after(args.shapes))
    return 0


if __name__ == '__main__':
    sys.exit(main())
