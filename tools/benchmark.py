"""What GradAug costs: plain and GradAug training steps in turn, on the same images.

`tools/benchmark.py CONFIG` prints FLOPs, time and peak memory of a training step of the stock
detector, of the same with the slimmable backbone, and of GradAug, with their ratios; and the time
of every pass. Images are random, labels too; nothing is read but the config.
"""

from __future__ import annotations

import argparse
import sys

import torch

from mmgradaug.engine.arguments import add_number, at_least, config_parser
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.loading import load_config
from mmgradaug.engine.preflight import check_model
from mmgradaug.evaluation.cost import StepCost, measure_costs
from mmgradaug.evaluation.cost_tables import print_costs


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__)
    parser.add_argument(
        '--size', type=at_least(32), nargs=2, default=(320, 512), metavar=('H', 'W')
    )
    add_number(parser, '--batch', default=2, least=1, text='images')
    add_number(parser, '--rounds', default=7, least=1, text='of all steps')
    add_number(parser, '--warmup', default=1, least=0, text='rounds not counted')
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
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
    check_model(cfg)
    costs: list[StepCost] = measure_costs(
        cfg,
        tuple(args.size),
        args.batch,
        args.rounds,
        args.warmup,
        args.device,
        args.variants,
    )
    print_costs(costs, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
