"""Generate images of circles, squares and triangles with COCO labels; needs no network."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mmgradaug.datasets import ShapesSpec, make_shapes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    pair: dict[str, Any] = {'nargs': 2, 'metavar': ('MIN', 'MAX')}
    add = parser.add_argument
    add('--out', default='data/shapes', help='folder of the data set')
    add('--train', type=int, default=120, metavar='N', help='training images')
    add('--val', type=int, default=20, metavar='N', help='validation images')
    add('--size', type=int, nargs=2, default=(160, 160), metavar=('W', 'H'), help='pixels')
    add('--objects', type=int, default=(2, 7), help='objects tried for an image', **pair)
    add('--radius', type=float, default=(0.06, 0.22), help='share of the shorter side', **pair)
    add('--seed', type=int, default=0, help='the same seed gives the same images, bit by bit')
    args = parser.parse_args(argv)
    same: dict[str, Any] = {
        'size': tuple(args.size),
        'objects': tuple(args.objects),
        'radius': tuple(args.radius),
    }
    train, val = (ShapesSpec(n, seed=args.seed, **same) for n in (args.train, args.val))
    root = make_shapes(args.out, train, val)
    print(f'shapes: {args.train} training and {args.val} validation images in {root}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
