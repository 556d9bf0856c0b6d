"""Generate images of circles, squares and triangles with COCO labels; needs no network."""

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
    add('--seed', type=int, default=0, help='the same seed gives the same images, bit by bit')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import ShapesSpec, make_shapes  # seconds; --help need not wait

    size, numbers = tuple(args.size), (args.train, args.val)
    root = make_shapes(args.out, *(ShapesSpec(n, size, seed=args.seed) for n in numbers))
    print(f'shapes: {args.train} training and {args.val} validation images in {root}')


if __name__ == '__main__':
    main()
