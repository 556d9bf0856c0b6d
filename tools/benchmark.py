"""What GradAug costs: plain and GradAug training steps in turn, on the same images.

`tools/benchmark.py CONFIG` prints FLOPs, time and peak memory of a training step of the stock
detector or classifier, of the same with the slimmable backbone, and of GradAug, with their ratios,
and the time of every pass. Images and labels are random; nothing is read but the config.
"""

import argparse
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    text = 'height and width (default: 320 512 for detectors, 224 224 for classifiers)'
    add('--size', type=int, nargs=2, metavar=('H', 'W'), help=text)
    add('--batch', type=int, metavar='N', help='images (default: 2; 16 for classifiers)')
    add('--rounds', type=int, default=7, metavar='N', help='of all steps (default: %(default)s)')
    add('--warmup', type=int, default=1, metavar='N', help='more before, unmeasured (default: 1)')
    text = 'warm up with all that is measured: the cost of widths and scales seen before'
    add('--same-draws', action='store_true', help=text)
    add('--memory-rounds', type=int, metavar='N', help='of which memory is read (default: all)')
    add('--amp', action='store_true', help='half precision, on a GPU')
    add('--device', help='(default: a GPU if there is one)')
    add('--out', type=Path, help='JSON file for what each step costs')
    text = "further GradAug steps, such as 'gradaug.width_step=0.025 backbone.width_divisor=8'"
    add('--variants', nargs='+', default=(), metavar='OPTIONS', help=text)
    args = parser.parse_args(argv)
    os.environ.setdefault('KINETO_LOG_LEVEL', '5')  # before torch: its profiler needs no GPU
    import torch  # these take seconds, which --help need not wait for
    from mmengine.device import get_device
    from mmengine.logging import MMLogger

    from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors
    from mmgradaug.evaluation.cost import build_models, measure_costs
    from mmgradaug.evaluation.random_batch import random_batch

    with one_line_errors():
        if args.out:
            make_output_dir(args.out.parent)
        cfg = load_config(args.config, args.cfg_options, gradaug=True)
        MMLogger.get_current_instance().setLevel('WARNING')  # not how weights are initialised
        is_classifier = 'detector' not in cfg.model
        height, width = args.size or ((224, 224) if is_classifier else (320, 512))
        images = args.batch or (16 if is_classifier else 2)
        models = build_models(cfg, args.variants)
        channels = cfg.model.backbone.get('in_channels', 3)
        loader = cfg.get('train_dataloader', {})
        count = (loader.get('batch_sampler') or {}).get('unlabelled', 0)  # beside batch_size
        share = count / (count + loader.batch_size) if count else 0.0
        data = random_batch(models['plain'], (height, width), images, channels, 8, share)
        device = args.device or get_device()
        warmup = max(args.warmup, args.rounds) if args.same_draws else args.warmup
        options = (args.rounds, warmup, args.memory_rounds, args.same_draws, args.amp)
        torch.backends.cudnn.benchmark = (cfg.get('env_cfg') or {}).get('cudnn_benchmark', False)
        costs = measure_costs(models, data, device, *options)
    print(
        f'{args.config}: {images} images of {height} x {width} pixels, {args.rounds} rounds, '
        f'{device}, {os.cpu_count()} cores ({os.uname().machine}), '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    steps = {cost.name: cost.summary(costs[0]) for cost in costs}
    print_steps(steps)
    if args.out:
        args.out.write_text(json.dumps(steps, indent=2) + '\n')
    for cost in costs:
        for name, seconds in cost.passes.items():
            low, median, high = min(seconds), statistics.median(seconds), max(seconds)
            print(f'{cost.name}, {name}: {median:.2f} s ({low:.2f} to {high:.2f})')


def print_steps(steps: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title='training step (median, quartiles; ratio to plain)')
    for column in ('step', 'GFLOPs', 'x', 'seconds', 'x', 'x time / x FLOPs', 'peak MB', 'x'):
        table.add_column(column, justify='left' if column == 'step' else 'right', overflow='fold')
    table.add_column('GFLOPs at inference', justify='right')
    for name, step in steps.items():
        ratio, (low, high) = step['ratio'], step['quartiles']
        table.add_row(
            name,
            f'{step["GFLOPs"]:.1f}',
            f'{ratio["flops"]:.3f}',
            f'{step["seconds"]:.2f} ({low:.2f} to {high:.2f})',
            f'{ratio["time"]:.3f}',
            f'{ratio["time"] / ratio["flops"]:.3f}',
            f'{step["peak_MB"]:.0f}',
            f'{ratio["memory"]:.3f}',
            f'{step["inference_GFLOPs"]:.1f}',
        )
    Console(width=110).print(table)


if __name__ == '__main__':
    main()
