"""A fault together with what mends it."""

from __future__ import annotations


class SetupError(Exception):
    """A fault with the one line that mends it.

    Args:
        fault: What was found and what was expected.
        fix: The command or the step to take.
    """

    def __init__(self, fault: str, fix: str) -> None:
        super().__init__(fault)
        self.fix = fix
