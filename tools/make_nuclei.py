"""Fetch a microscopy image with labelled nuclei and write it as a COCO data set of tiles."""

from __future__ import annotations

import sys

from mmgradaug.datasets import make_nuclei
from mmgradaug.datasets.making import run_making

ABOUT = (
    ' The image is read out of the wheel stardist==0.9.2 (BSD-3-Clause), which pip downloads '
    '(3 MB) and which is not installed. Does nothing where the data set is complete. No network? '
    'python tools/make_shapes.py generates a data set instead.'
)
MADE = '12 training and 4 validation tiles in {root} (source and licence: README.txt)'


def main(argv: list[str] | None = None) -> int:
    """Make the data set and say where it is; returns the exit status."""
    return run_making('nuclei', make_nuclei, f'{__doc__}{ABOUT}', MADE, argv)


if __name__ == '__main__':
    sys.exit(main())
