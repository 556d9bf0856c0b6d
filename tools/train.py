"""Train a detector: `tools/train.py CONFIG`, with the options of mmdet's own tools/train.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmgradaug.engine.mmdet_tools import run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the command line says (``sys.argv`` by default)."""
    run_tool('train', sys.argv[1:] if argv is None else argv, loops=('train', 'val'))


if __name__ == '__main__':
    main()
