"""Test a detector: `tools/test.py CONFIG CHECKPOINT`, with the options of mmdet's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmgradaug.engine.mmdet_tools import run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Test as the command line says (``sys.argv`` by default)."""
    run_tool('test', sys.argv[1:] if argv is None else argv, loops=('test',))


if __name__ == '__main__':
    main()
