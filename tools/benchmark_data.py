"""Images a second and core of a classifier's training pipeline, beside torchvision's reference.

`tools/benchmark_data.py CONFIG` generates JPEG files of ImageNet's size in a temporary folder and
loads them both ways in turn. Nothing is read but the config.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from mmgradaug.engine.arguments import add_number, at_least, config_parser
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.loading import load_config
from mmgradaug.evaluation.data_speed import (
    PipelineSpeed,
    make_jpegs,
    measure_speeds,
    pipelines_of,
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = config_parser(__doc__, 'such as configs/classification/resnet50_imagenet.py')
    add_number(parser, '--images', default=48, least=1, text='files')
    add_number(parser, '--rounds', default=7, least=1, text='over all files, each way')
    parser.add_argument(
        '--size', type=at_least(32), nargs=2, default=(375, 500), metavar=('H', 'W')
    )
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    with tempfile.TemporaryDirectory(prefix='mmgradaug-jpeg-') as folder:
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        pipelines = pipelines_of(cfg.train_dataloader.dataset.pipeline)
        paths = make_jpegs(Path(folder), args.images, tuple(args.size))
        size = sum(path.stat().st_size for path in paths) / len(paths)
        speeds = measure_speeds(pipelines, paths, args.rounds)
    height, width = args.size
    print(
        f'{args.config}: {args.images} files of {height} x {width} pixels and {size / 1e3:.0f} kB, '
        f'{args.rounds} rounds, one thread, time of the processor'
    )
    Console(width=110).print(speed_table(speeds))
    return 0


def speed_table(speeds: Sequence[PipelineSpeed]) -> Table:
    """One row a pipeline; every second one is the reference of the one before."""
    table = Table(title='loading, one image (median, quartiles)')
    for column in ('pipeline', 'images / s', 'ms', 'time / reference'):
        table.add_column(column, justify='left' if column == 'pipeline' else 'right')
    for index, speed in enumerate(speeds):
        other = speeds[index | 1]
        ratio = statistics.median(a / b for a, b in zip(speed.seconds, other.seconds, strict=True))
        low, high = speed.spread
        table.add_row(
            speed.name,
            f'{1 / speed.median:.0f}',
            f'{1e3 * speed.median:.2f} ({1e3 * low:.2f} to {1e3 * high:.2f})',
            f'{ratio:.3f}',
        )
    return table


if __name__ == '__main__':
    sys.exit(main())
