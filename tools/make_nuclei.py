"""Fetch a microscopy image with labelled nuclei and write it as a COCO data set of tiles."""

from __future__ import annotations

import argparse
import sys

from mmgradaug.datasets import WheelError, make_nuclei


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__ + ' The image is read out of the wheel stardist==0.9.2 (BSD-3-Clause), '
        'which pip downloads (3 MB) and which is not installed. Does nothing where the data set is '
        'complete. No network? python tools/make_shapes.py generates a data set instead.'
    )
    parser.add_argument(
        '--out', default='data/nuclei', help='folder of the data set (default: %(default)s)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Make the data set and say where it is; returns the exit status."""
    args = parse_args(argv)
    try:
        root = make_nuclei(args.out)
    except WheelError as error:
        print(f'make_nuclei: {error}', file=sys.stderr)
        return 1
    print(f'nuclei: 12 training and 4 validation tiles in {root} (source and licence: README.txt)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
