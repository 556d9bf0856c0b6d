"""What tools print of their own, told apart from the log of training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger


def say(text: str) -> None:
    """Print a line of a demo's own."""
    print(f'[demo] {text}', flush=True)


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what they are, one a line; a row without a name goes on with the last."""
    print('\n'.join(f'{name:10}{text}' for name, text in rows), flush=True)


@contextmanager
def no_init_log() -> Iterator[None]:
    """Keep mmengine from logging how each weight was initialised, which fills hundreds of lines.

    For tools that build a model to look at it; runs of training log it, as in mmdet.
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
