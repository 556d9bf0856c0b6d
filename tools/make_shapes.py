"""Generate images of circles, squares and triangles with COCO labels; needs no network."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from mmgradaug.engine.errors import one_line_errors


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('--out', default='data/shapes', help='folder of the data set')
    add('--train', type=int, default=120, metavar='N', help='training images')
    add('--val', type=int, default=20, metavar='N', help='validation images')
    add('--size', type=int, nargs=2, default=(160, 160), metavar=('W', 'H'), help='pixels')
    add(
        '--objects',
        type=int,
        nargs=2,
        default=(2, 7),
        metavar=('MIN', 'MAX'),
        help='objects tried for an image; one that finds no place is left out',
    )
    add(
        '--radius',
        type=float,
        nargs=2,
        default=(0.06, 0.22),
        metavar=('MIN', 'MAX'),
        help="radius of an object as a share of the image's shorter side",
    )
    add(
        '--empty',
        type=int,
        default=0,
        metavar='N',
        help='further training images without any object',
    )
    add(
        '--crowd',
        type=int,
        default=0,
        metavar='N',
        help='further training images whose only label is a crowd region',
    )
    add('--seed', type=int, default=0, help='the same seed gives the same images, bit by bit')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    """Make the data set and say where it is; returns the exit status."""
    args = parse_args(argv)
    try:
        train = ShapesSpec(
            num_images=args.train,
            num_empty=args.empty,
            num_crowd=args.crowd,
            size=tuple(args.size),
            objects=tuple(args.objects),
            radius=tuple(args.radius),
            seed=args.seed,
        )
        val = replace(train, num_images=args.val, num_empty=0, num_crowd=0)
    except ValueError as error:
        print(f'make_shapes: {error}', file=sys.stderr)
        return 2
    root = make_shapes(args.out, train, val)
    total = args.train + args.empty + args.crowd
    print(f'shapes: {total} training and {args.val} validation images in {root}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
