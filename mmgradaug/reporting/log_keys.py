"""What the keys of a training log are about: which pass, and which kind of value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PASS = re.compile(r'(full|subnet\d+)/(.+)')
_NOT_VALUES = ('step', 'iter', 'epoch')
_DRAWS = ('width', 'depth', 'scale', 'turns')
FULL = 'full'


def split_key(key: str) -> tuple[str, str]:
    """The pass (``full``, ``subnet1``, ...) and the name of a value: what has no pass is full's."""
    match = _PASS.fullmatch(key)
    return (match[1], match[2]) if match else (FULL, key)


def pass_title(name: str) -> str:
    """A pass in words."""
    return 'full network' if name == FULL else name.replace('subnet', 'sub-network ')


def passes_of(train: Sequence[Mapping[str, Any]]) -> list[str]:
    """The passes that a log has values of, the full network first, then by number."""
    found = {split_key(key)[0] for entry in train for key in entry} | {FULL}
    return sorted(found, key=lambda name: (name != FULL, len(name), name))


def kind_of(key: str) -> str:
    """``loss``, ``agreement``, ``draw``, ``seconds``, ``other``; nothing for what counts steps."""
    owner, name = split_key(key)
    if key in _NOT_VALUES:
        return ''
    if owner != FULL and name in _DRAWS:
        return 'draw'
    if name == 'seconds' or key in ('time', 'data_time'):
        return 'seconds'
    if name.startswith('agree_'):
        return 'agreement'
    return 'loss' if 'loss' in name else 'other'


def names_of(train: Sequence[Mapping[str, Any]], kind: str) -> dict[str, dict[str, str]]:
    """The keys of a kind by name and pass, in the order of the log."""
    found: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key for entry in train for key in entry):
        owner, name = split_key(key)
        if kind_of(key) == kind:
            found.setdefault(name, {})[owner] = key
    return found


def thinned(entries: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many entries, each the mean of as many successive ones (the last of fewer)."""
    size = math.ceil(len(entries) / most) if entries else 1
    groups = [entries[i : i + size] for i in range(0, len(entries), size)]
    return [_mean(group) for group in groups]


def _mean(group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each key over the entries that have it."""
    if len(group) == 1:
        return group[0]
    keys = dict.fromkeys(key for entry in group for key in entry)
    values = {key: [entry[key] for entry in group if key in entry] for key in keys}
    return {key: sum(found) / len(found) for key, found in values.items()}
