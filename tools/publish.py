"""Take a result away: `tools/publish.py CHECKPOINT --to mmdet|torchvision|timm|...`.

`mmdet` writes a config and a checkpoint that train, test and infer in an MMDetection without
mmgradaug, or of a classifier the backbone for its ResNet; `backbone` the backbone's weights alone;
`torchvision`, `timm` and `mmpretrain` a ResNet under their names; `classifier` one for
`tools/pretrain.py --eval`; `onnx` the backbone or the classifier, checked with onnxruntime.
`--width W --recalibrate N` does so for the sub-network of width W, as a smaller stock network.
`--from LIBRARY` reads a ResNet of another library, or a network of the authors' released code.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

EXTERNAL = ('torchvision', 'timm', 'mmpretrain')
NARROW = ('mmdet', 'backbone', 'onnx')


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    from mmengine.device import get_device  # these take seconds, which --help need not wait for

    from mmgradaug.engine.cli import load_config, one_line_errors, warn
    from mmgradaug.publishing.source import Cut, open_external, open_source, untrained_widths
    from mmgradaug.publishing.writing import link
    from mmgradaug.slimmable import check_width

    with one_line_errors():
        width = None if args.width is None else check_width(args.width)
        cut = Cut(width, args.recalibrate or 0, args.seed, args.device or get_device())
        config = load_config(args.config) if args.config else None
        if args.library:
            source = open_external(args.checkpoint, args.library, config, args.no_ema)
        else:
            source = open_source(args.checkpoint, config, args.no_ema)
        if args.cfg_options:
            source.config().merge_from_dict(args.cfg_options)
        if width is not None and untrained_widths(source, [width]):
            warn(f'width {width:g} was never trained')
        path = publish(source, cut, args.out or args.checkpoint.parent / 'published', args)
        if args.link is not None:
            link(path, args.link)
            print(f'{args.link} is a link to it')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; of two options that need each other, none is ignored."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('checkpoint', type=Path, help='of a run, or saved by torch.save')
    add('--to', choices=('mmdet', 'backbone', 'classifier', *EXTERNAL, 'onnx'), default='mmdet')
    text = "whose names the weights have; gradaug: the authors' released code"
    add('--from', dest='library', choices=(*EXTERNAL, 'gradaug'), help=text)
    add('--no-classifier', action='store_true', help='leave out the linear layer')
    text = 'write that format of the weights of another library'
    add('--safetensors', action='store_true', help=text)
    add('--config', help="default: the checkpoint's own")
    add('--width', type=float, help='publish the sub-network of this width')
    text = "average BatchNorm statistics over N training images (0: keep the full network's)"
    add('--recalibrate', type=int, metavar='N', help=text)
    add('--seed', type=int, default=0, help='of the choice of images (default: 0)')
    add('--device', help='to recalibrate on (default: a GPU if there is one)')
    text = 'the trained weights of a run with EMAHook (default: the averaged ones, as validated)'
    add('--no-ema', action='store_true', help=text)
    add('--out', type=Path, help="folder (default: 'published' beside CHECKPOINT)")
    add('--link', type=Path, metavar='NAME', help='also make NAME, without a hash, a link to it')
    add('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    args = parser.parse_args(argv)
    if (args.width is None) != (args.recalibrate is None):
        parser.error(
            'expected both --width W and --recalibrate N or neither: training keeps no BatchNorm '
            'statistics of sub-networks; give a number of training images, such as 200'
        )
    if args.width is not None and args.to not in NARROW:
        parser.error(f'--width {args.width:g}: expected --to {", ".join(NARROW)}, got {args.to}')
    if args.safetensors and args.to not in EXTERNAL:
        parser.error(f'--safetensors: expected --to {", ".join(EXTERNAL)}, got {args.to}')
    if args.no_classifier and args.to not in (*EXTERNAL, 'onnx'):
        parser.error(f'--no-classifier: expected --to {", ".join(EXTERNAL)} or onnx, got {args.to}')
    return args


def publish(source: Any, cut: Any, out: Path, args: argparse.Namespace) -> Path:
    """Write what is asked for and print how to use it; returns the weights' path."""
    from mmgradaug.publishing.onnx import publish_onnx
    from mmgradaug.publishing.publish import (
        publish_backbone,
        publish_classifier,
        publish_detector,
        publish_weights,
    )

    if args.to == 'mmdet' and not source.is_classifier:
        config, path = publish_detector(source, cut, out)
        use = f"{config}\ninit_detector('{config}', '{path}') uses them, as mmdet's training does"
    elif args.to in ('mmdet', 'backbone'):
        path = publish_backbone(source, cut, out, for_mmdet=args.to == 'mmdet')
        use = f"init_cfg=dict(type='Pretrained', checkpoint='{path}') starts from it"
        if cut.width is not None:
            where = f"torch.load('{path}')['meta']['mmgradaug']['backbone']"
            use += f', in a backbone with the options {where} and a neck of its in_channels'
    elif args.to == 'classifier':
        path = publish_classifier(source, out)
        use = f'tools/pretrain.py CONFIG --eval {path} evaluates it'
    elif args.to == 'onnx':
        path = publish_onnx(source, cut, out, not args.no_classifier)
        use = 'from normalised images' + '; mean and std are in its meta data' * (not args.library)
    else:
        path = publish_weights(source, args.to, out, not args.no_classifier, args.safetensors)
        use = f'{path.with_suffix(".json")} says what it is'
    print(f'{path}\n{use}')
    return path


if __name__ == '__main__':
    main()
