"""What GradAug costs: plain and GradAug training steps in turn, on the same images.

`tools/benchmark.py CONFIG` prints FLOPs, time and peak memory of a training step of the stock
detector or classifier, of the same with the slimmable backbone, and of GradAug, with their ratios,
and the time of every pass. Images and labels are random; nothing is read but the config.
"""

from __future__ import annotations

import os

# torch's profiler, which counts memory, reports a missing GPU as an error otherwise. It is read
# when torch is imported.
os.environ.setdefault('KINETO_LOG_LEVEL', '5')

import logging
import platform
import statistics
import sys
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

from mmgradaug.classification import GradAugClassifier
from mmgradaug.detection import GradAugDetector
from mmgradaug.engine.cli import at_least, config_parser, load_config, one_line_errors
from mmgradaug.evaluation.cost import StepCost, build_models, measure_costs
from mmgradaug.evaluation.random_batch import random_batch


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = config_parser(__doc__)
    text = 'height and width (default: 320 512 for detectors, 224 224 for classifiers)'
    parser.add_argument('--size', type=at_least(32), nargs=2, metavar=('H', 'W'), help=text)
    text = 'images (default: 2 for detectors, 16 for classifiers)'
    parser.add_argument('--batch', type=at_least(1), metavar='N', help=text)
    text = 'rounds of all steps (default: %(default)s)'
    parser.add_argument('--rounds', type=at_least(1), default=7, metavar='N', help=text)
    text = 'rounds before them that do not count (default: %(default)s)'
    parser.add_argument('--warmup', type=at_least(0), default=1, metavar='N', help=text)
    text = 'warm up with the widths and scales that are measured: the cost of shapes seen before'
    parser.add_argument('--same-draws', action='store_true', help=text)
    text = 'rounds to measure the memory of, a step more of each (default: all)'
    parser.add_argument('--memory-rounds', type=at_least(1), metavar='N', help=text)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    text = "further GradAug steps, such as 'gradaug.width_step=0.025 backbone.width_divisor=8'"
    parser.add_argument('--variants', nargs='+', default=(), metavar='OPTIONS', help=text)
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, (GradAugDetector, GradAugClassifier))
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # not how each weight is initialised
    is_classifier = 'detector' not in cfg.model
    height, width = args.size or ((224, 224) if is_classifier else (320, 512))
    images = args.batch or (16 if is_classifier else 2)
    models = build_models(cfg, args.variants)
    channels = cfg.model.backbone.get('in_channels', 3)
    data = random_batch(models['plain'], (height, width), images, channels, objects=8)
    costs = measure_costs(
        models, data, args.device, args.rounds, args.warmup, args.memory_rounds, args.same_draws
    )
    print(
        f'{args.config}: {images} images of {height} x {width} pixels, {args.rounds} rounds, '
        f'{args.device}, {os.cpu_count()} cores ({platform.machine()}), '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    Console(width=110).print(table_of_steps(costs))
    for cost in costs:
        for name, seconds in cost.passes.items():
            print(
                f'{cost.name}, {name}: {statistics.median(seconds):.2f} s '
                f'({min(seconds):.2f} to {max(seconds):.2f})'
            )
    return 0


def table_of_steps(costs: Sequence[StepCost]) -> Table:
    """Return one row a step, each with its ratios to the first."""
    table = Table(title='training step (median, quartiles; ratio to plain)')
    for column in ('step', 'GFLOPs', 'x', 'seconds', 'x', 'x time / x FLOPs', 'peak MB', 'x'):
        table.add_column(column, justify='left' if column == 'step' else 'right', overflow='fold')
    table.add_column('GFLOPs at inference', justify='right')
    plain = costs[0]
    for cost in costs:
        flops, seconds = cost.train_flops / plain.train_flops, cost.time_ratio(plain)
        low, median, high = np.percentile(cost.seconds, (25, 50, 75))
        table.add_row(
            cost.name,
            f'{cost.train_flops / 1e9:.1f}',
            f'{flops:.3f}',
            f'{median:.2f} ({low:.2f} to {high:.2f})',
            f'{seconds:.3f}',
            f'{seconds / flops:.3f}',
            f'{cost.peak_bytes / 1e6:.0f}',
            f'{cost.peak_bytes / plain.peak_bytes:.3f}',
            f'{cost.predict_flops / 1e9:.1f}',
        )
    return table


if __name__ == '__main__':
    sys.exit(main())
