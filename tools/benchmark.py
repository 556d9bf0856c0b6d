"""What GradAug costs: plain and GradAug training steps in turn, on the same images.

`tools/benchmark.py CONFIG` prints FLOPs, time and peak memory of a training step of the stock
detector, of the same with the slimmable backbone, and of GradAug, with their ratios; and the time
of every pass. Images are random, labels too; nothing is read but the config.
"""

from __future__ import annotations

import argparse
import sys

import torch
from mmengine.config import DictAction

from mmgradaug.engine.loading import load_config
from mmgradaug.evaluation.cost import StepCost, measure_costs
from mmgradaug.evaluation.report import print_costs


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('config', help='a GradAug config')
    parser.add_argument('--size', type=int, nargs=2, default=(320, 512), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=2, help='images (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=7, help='of all steps (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1, help='rounds not counted')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--variants',
        nargs='+',
        default=(),
        metavar='OPTIONS',
        help="more GradAug steps to compare, such as 'gradaug.width_step=0.025'",
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, gradaug=True)
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
