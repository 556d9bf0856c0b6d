"""In what configs and results differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MISSING = object()
NOT_COMPARED = ('work_dir', 'experiment_name')
INHERITED = '_scope_'  # what mmengine writes into parts of a base config of mmdet's
ONE_LINE = 72  # characters


def config_differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Values of every option that is not the same in all configs, by dotted key.

    Args:
        configs: Nested dictionaries.

    Returns:
        For each key one value a config, ``MISSING`` where it has none. Lists of dictionaries are
        compared by place where they are equally long, and as a whole otherwise.
    """
    found: dict[str, list[Any]] = {}
    _compare('', list(configs), found)
    compared = (key for key in found if key not in NOT_COMPARED and not key.endswith(INHERITED))
    return {key: found[key] for key in compared}


def shown(value: Any) -> str:
    """A value of a config as text: of one that is long, a line for each option in it."""
    if value is MISSING:
        return 'not set'
    text = repr(value)
    if len(text) <= ONE_LINE or not isinstance(value, (Mapping, list, tuple)):
        return text
    return '\n'.join(_lines('', value))


def _lines(key: str, value: Any) -> Iterator[str]:
    """Dotted keys with their values, down to what holds no dictionaries."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        parts = sorted(value.items(), key=lambda item: item[0] != 'type')  # what it is, first
    elif isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
        parts = enumerate(value)
    if not value or not parts:
        yield f'{key} = {value!r}' if key else repr(value)
        return
    for name, part in parts:
        yield from _lines(_joined(key, name), part)


def _compare(prefix: str, values: list[Any], found: dict[str, list[Any]]) -> None:
    """Go down as long as all values have parts; note where they differ."""
    if all(isinstance(value, Mapping) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):
            _compare(_joined(prefix, key), [v.get(key, MISSING) for v in values], found)
    elif _alike_lists(values):
        for index, items in enumerate(zip(*values, strict=True)):
            _compare(_joined(prefix, index), list(items), found)
    elif any(value is MISSING or value != values[0] for value in values):
        found[prefix] = values


def _alike_lists(values: Sequence[Any]) -> bool:
    """Whether values are lists of equally many dictionaries."""
    if not all(isinstance(value, (list, tuple)) for value in values):
        return False
    items = [item for value in values for item in value]
    return len({len(value) for value in values}) == 1 and all(
        isinstance(item, Mapping) for item in items
    )


def _joined(prefix: str, key: Any) -> str:
    """A dotted key, as ``--cfg-options`` takes it."""
    return f'{prefix}.{key}' if prefix else str(key)
