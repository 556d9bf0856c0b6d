"""Make scenes of Fashion-MNIST's garments with COCO labels, for detection and segmentation."""

import argparse


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('--out', default='data/scenes', help='folder of the data set')
    add('--source', default='data/fashion-mnist', help='folder of Fashion-MNIST')
    add('--train', type=int, default=150, metavar='N', help='training scenes')
    add('--val', type=int, default=400, metavar='N', help='validation scenes')
    add('--seed', type=int, default=0, help='the same seed gives the same images, bit by bit')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import ScenesSpec, make_scenes  # seconds; --help need not wait
    from mmgradaug.engine.cli import one_line_errors

    train, val = (ScenesSpec(number, seed=args.seed) for number in (args.train, args.val))
    with one_line_errors():
        root = make_scenes(args.out, args.source, train, val)
    print(f'scenes: {args.train} training and {args.val} validation images in {root}')


if __name__ == '__main__':
    main()
