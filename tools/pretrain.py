"""Train a classifier: `tools/pretrain.py CONFIG`; evaluate one: `... CONFIG --eval CHECKPOINT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmgradaug.engine.pretraining import run_pretraining


def main(argv: Sequence[str] | None = None) -> None:
    """Train or evaluate as the command line says (``sys.argv`` by default)."""
    run_pretraining(sys.argv[1:] if argv is None else argv)


if __name__ == '__main__':
    main()
