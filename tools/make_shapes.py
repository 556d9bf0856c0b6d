"""Generate images of circles, squares and triangles with COCO labels; needs no network."""

from __future__ import annotations

import argparse


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('--out', default='data/shapes', help='folder of the data set')
    add('--train', type=int, default=120, metavar='N', help='training images')
    add('--val', type=int, default=20, metavar='N', help='validation images')
    add('--size', type=int, nargs=2, default=(160, 160), metavar=('W', 'H'), help='pixels')
    pair = ('MIN', 'MAX')
    add('--objects', type=int, nargs=2, default=(2, 7), metavar=pair, help='tried for an image')
    text = 'share of the shorter side'
    add('--radius', type=float, nargs=2, default=(0.06, 0.22), metavar=pair, help=text)
    add('--seed', type=int, default=0, help='the same seed gives the same images, bit by bit')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import ShapesSpec, make_shapes  # seconds; --help need not wait

    same = (tuple(args.size), tuple(args.objects), tuple(args.radius), args.seed)
    root = make_shapes(args.out, ShapesSpec(args.train, *same), ShapesSpec(args.val, *same))
    print(f'shapes: {args.train} training and {args.val} validation images in {root}')


if __name__ == '__main__':
    main()
