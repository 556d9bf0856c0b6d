"""What the command lines of the tools share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmengine.config import DictAction

from .errors import InputError


def config_parser(
    description: str | None, config: str = 'a GradAug config'
) -> argparse.ArgumentParser:
    """A parser of ``CONFIG`` and ``--cfg-options``.

    Args:
        description: The tool's docstring, whose first line describes it.
        config: What the config has to be.
    """
    parser = argparse.ArgumentParser(description=(description or '').split('\n')[0])
    parser.add_argument('config', help=config)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as of tools/train.py')
    return parser


@contextmanager
def reading_options() -> Iterator[None]:
    """Around parsing a command line with ``--cfg-options``.

    Raises:
        InputError: If these are no pairs of a key and a value, of which mmengine says little.
    """
    try:
        yield
    except ValueError as error:  # of mmengine's DictAction
        raise InputError(
            f'cannot read the command line ({error}): --cfg-options takes words such as '
            'train_dataloader.batch_size=4, without spaces around ='
        ) from error


def add_number(
    parser: argparse.ArgumentParser, name: str, default: int, least: int, text: str = ''
) -> None:
    """Add an option that takes a whole number of at least ``least``."""
    shown = f'{text} (default: %(default)s)'.strip()
    parser.add_argument(name, type=at_least(least), default=default, metavar='N', help=shown)


def at_least(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f'expected a whole number of at least {least}, got {text!r}'
            )
        return value

    return parse
