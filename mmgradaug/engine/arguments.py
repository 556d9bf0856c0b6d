"""What the command lines of the tools share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from mmengine.config import DictAction


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
