"""Take a result away: `tools/publish.py CHECKPOINT --to mmdet|torchvision|timm|...`.

`mmdet` writes a config and a checkpoint that train, test and infer in an MMDetection without
mmgradaug, or of a classifier the backbone for its ResNet; `backbone` the backbone's weights alone;
`torchvision`, `timm` and `mmpretrain` a ResNet under their names; `classifier` one for
`tools/pretrain.py --eval`; `onnx` the backbone or the classifier, checked with onnxruntime.
`--width W --recalibrate N` does so for the sub-network of width W, as a smaller stock network.
`--from LIBRARY` reads a ResNet of another library, or of the authors' released code.
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
from mmgradaug.engine.out_dir import make_out_dir, removed_if_empty
from mmgradaug.publishing import (
    LAYOUTS,
    Cut,
    Source,
    open_foreign,
    open_source,
    publish_backbone,
    publish_classifier,
    publish_detector,
    publish_onnx,
    publish_weights,
    require_mmdets_backbone,
    warn_untrained,
)
from mmgradaug.publishing.writing import check_link, link
from mmgradaug.slimmable import check_width

FOREIGN = ('torchvision', 'timm', 'mmpretrain')
TARGETS = ('mmdet', 'backbone', 'classifier', *FOREIGN, 'onnx')
CUTTABLE = ('mmdet', 'backbone', 'onnx')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('checkpoint', type=Path, help='of a run, or saved by torch.save')
    parser.add_argument('--to', choices=TARGETS, default='mmdet')
    parser.add_argument(
        '--from',
        dest='layout',
        choices=list(LAYOUTS),
        help="whose names the weights have; gradaug: the authors' released code",
    )
    parser.add_argument(
        '--classifier',
        action=argparse.BooleanOptionalAction,
        help='keep or drop the linear layer (default: kept but for mmdet and backbone)',
    )
    parser.add_argument(
        '--safetensors', action='store_true', help="write that format instead of torch's"
    )
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
    parser.add_argument(
        '--link', type=Path, metavar='NAME', help='also make NAME, without a hash, a link to it'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that hold something else, and a link of the name',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Write the files and say where they are; returns the exit status."""
    args = parse_args(argv)
    check_combination(args)
    cut = cut_of(args)
    if args.link is not None:
        check_link(args.link, args.overwrite)
    source = open_checkpoint(args)
    out = make_out_dir('--out', args.out or args.checkpoint.parent / 'published')
    if cut.width is not None:
        warn_untrained(source, [cut.width])
    with removed_if_empty(out):
        path = publish(source, cut, out, args)
    if args.link is not None:
        print(f'{link(path, args.link, args.overwrite)} is a link to it')
    return 0


def open_checkpoint(args: argparse.Namespace) -> Source:
    """The weights to publish, and their config."""
    config = load_config(args.config, None) if args.config else None
    if args.layout:
        source = open_foreign(args.checkpoint, args.layout, config)
    else:
        source = open_source(args.checkpoint, config, args.ema)
    if args.cfg_options:
        source.config().merge_from_dict(args.cfg_options)
    return source


def check_combination(args: argparse.Namespace) -> None:
    """Raise on options that say nothing together.

    Raises:
        InputError: With the options, and which to leave out.
    """
    if args.width is not None and args.to not in CUTTABLE:
        raise InputError(
            f'--width {args.width:g} --to {args.to}: no such network has that width, expected '
            f'--to {", ".join(CUTTABLE)}'
        )
    if args.width is not None and args.classifier and args.to != 'onnx':
        raise InputError(
            '--classifier with --width: no config takes a linear layer of that width, expected '
            '--to onnx, or --no-classifier'
        )
    if args.safetensors and args.to not in FOREIGN:
        raise InputError(f'--safetensors --to {args.to}, expected --to {", ".join(FOREIGN)}')
    if args.to == 'classifier' and args.classifier is False:
        raise InputError('--to classifier --no-classifier: --to backbone writes one without')
    if args.layout and args.ema is not None:
        raise InputError(
            f'--ema with --from {args.layout}: only runs of mmengine keep two sets of weights'
        )


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


def publish(source: Source, cut: Cut, out: Path, args: argparse.Namespace) -> Path:
    """Write what is asked for and print how to use it; returns the weights' path."""
    overwrite = args.overwrite
    if args.to == 'mmdet' and not source.is_classifier:
        config, path = publish_detector(source, cut, out, overwrite)
        print(f'{config}\n{path}')
        print(f"init_detector('{config}', '{path}') uses them; tools/train.py and")
        print("tools/test.py of any mmdet 3.x do too, with the config's data in place")
    elif args.to in ('mmdet', 'backbone'):
        if args.to == 'mmdet':
            require_mmdets_backbone(source)
        path = publish_backbone(source, cut, out, overwrite, bool(args.classifier))
        print(f"{path}\ninit_cfg=dict(type='Pretrained', checkpoint='{path}') starts from it")
    elif args.to == 'classifier':
        path = publish_classifier(source, out, overwrite)
        print(f'{path}\ntools/pretrain.py CONFIG --eval {path} evaluates it')
    elif args.to == 'onnx':
        path = publish_onnx(source, cut, out, overwrite, args.classifier)
        print(f'{path}\nfrom normalised images; mean and std are in its meta data')
    else:
        path = publish_weights(source, args.to, out, overwrite, args.classifier, args.safetensors)
        print(f'{path}\n{path.with_suffix(".json")} says what it is')
    return path


if __name__ == '__main__':
    sys.exit(main())
