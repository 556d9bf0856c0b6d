"""Take a result away: `tools/publish.py CHECKPOINT --to mmdet|backbone|onnx`.

`mmdet` writes a config and a checkpoint that train, test and infer in an MMDetection without
mmgradaug; `backbone` the backbone's weights alone; `onnx` the backbone, checked with onnxruntime.
`--width W --recalibrate N` does so for the sub-network of width W, as a smaller stock network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import DictAction

from mmgradaug.engine.arguments import add_number, at_least
from mmgradaug.engine.errors import InputError, one_line_errors
from mmgradaug.engine.loading import load_config
from mmgradaug.publishing import (
    Cut,
    Source,
    open_source,
    publish_backbone,
    publish_detector,
    publish_onnx,
)
from mmgradaug.slimmable import check_width


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('checkpoint', type=Path, help='of a run, or saved by torch.save')
    parser.add_argument('--to', choices=('mmdet', 'backbone', 'onnx'), default='mmdet')
    parser.add_argument('--config', help="default: the checkpoint's own")
    parser.add_argument('--width', type=float, help='publish the sub-network of this width')
    parser.add_argument(
        '--recalibrate',
        type=at_least(0),
        metavar='N',
        help="average BatchNorm statistics over N training images (0: keep the full network's)",
    )
    add_number(parser, '--seed', default=0, least=0, text='of the choice of images')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='to recalibrate on'
    )
    parser.add_argument(
        '--ema',
        action=argparse.BooleanOptionalAction,
        help='averaged or trained weights of a run with EMAHook (default: the validated ones)',
    )
    parser.add_argument('--out', type=Path, help="folder (default: 'published' beside CHECKPOINT)")
    parser.add_argument('--overwrite', action='store_true', help='replace existing files')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Write the files and say where they are; returns the exit status."""
    args = parse_args(argv)
    cut = cut_of(args)
    config = load_config(args.config, None) if args.config else None
    source = open_source(args.checkpoint, config, args.ema)
    if args.cfg_options:
        source.config().merge_from_dict(args.cfg_options)
    publish(source, cut, args)
    return 0


def cut_of(args: argparse.Namespace) -> Cut:
    """The sub-network that is asked for.

    Raises:
        InputError: If only one of ``--width`` and ``--recalibrate`` is given.
        ValueError: If the width is none.
    """
    width = None if args.width is None else check_width(args.width)
    if args.width is None and args.recalibrate is not None:
        raise InputError(f'--recalibrate {args.recalibrate} without --width, expected both')
    if args.width is not None and args.recalibrate is None:
        raise InputError(
            f'--width {args.width:g} without --recalibrate N: training keeps no BatchNorm '
            'statistics of sub-networks; give a number of training images, such as 200'
        )
    return Cut(width, args.recalibrate or 0, args.seed, args.device)


def publish(source: Source, cut: Cut, args: argparse.Namespace) -> None:
    """Write what is asked for and print how to use it."""
    out = args.out or args.checkpoint.parent / 'published'
    if args.to == 'mmdet':
        config, checkpoint = publish_detector(source, cut, out, args.overwrite)
        print(f'{config}\n{checkpoint}')
        print(f"init_detector('{config}', '{checkpoint}') uses them; tools/train.py and")
        print("tools/test.py of any mmdet 3.x do too, with the config's data in place")
    elif args.to == 'backbone':
        path = publish_backbone(source, cut, out, args.overwrite)
        print(f"{path}\ninit_cfg=dict(type='Pretrained', checkpoint='{path}') starts from it")
    else:
        path = publish_onnx(source, cut, out, args.overwrite)
        print(f'{path}\nfrom normalised images; mean and std are in its meta data')


if __name__ == '__main__':
    sys.exit(main())
