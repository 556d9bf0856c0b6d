"""What the demos print of their own, told apart from the log of training."""

from __future__ import annotations

from collections.abc import Iterable


def say(text: str) -> None:
    """Print a line of a demo's own."""
    print(f'[demo] {text}', flush=True)


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what they are, one a line; a row without a name goes on with the last."""
    print('\n'.join(f'{name:10}{text}' for name, text in rows), flush=True)
