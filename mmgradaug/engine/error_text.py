"""What an error says, in one line that helps: with the right spelling where that is plain."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import mmengine.registry
from mmengine.registry import Registry

from ..errors import closest
from ..type_names import type_name
from .error_origin import frames_of, root_of, statement_of

_UNKNOWN_NAME = re.compile(r'([\w.]+) is not in the (?:[\w-]+::)?([\w ]+) registry')
_UNKNOWN_OPTION = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def message_of(error: BaseException) -> str:
    """What an error says, on one line; a bare assertion is quoted."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _unknown_name(error) or _without_trace(text, type(error)) + _options_taken(error)
    text = ' '.join(text.split())
    return text or f'{type(error).__name__} at {statement_of(root_of(error))}'


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Names, the first few of many."""
    found = [str(name) for name in names]
    rest = f', ... ({len(found)} in all)' if len(found) > most else ''
    return (', '.join(found[:most]) or 'none') + rest


def _unknown_name(error: BaseException) -> str | None:
    """For a type that no registry has: the nearest one that some registry of that kind has."""
    found = _UNKNOWN_NAME.search(str(error)) if isinstance(error, KeyError) else None
    if not found:
        return None
    name, kind = found.groups()
    roots = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    registries = [r for root in roots if root.name == kind for r in [root, *root.children.values()]]
    near = closest(
        type_name(name), {key for registry in registries for key in registry.module_dict}
    )
    return f'type={name!r} is no {kind} that is registered; write {near!r}' if near else None


def _without_trace(text: str, kind: type) -> str:
    """The message alone of an error that torch carried out of a worker with its traceback."""
    name = kind.__qualname__
    name = name if kind.__module__ == 'builtins' else f'{kind.__module__}.{name}'
    _, found, message = text.partition('Original Traceback')[2].rpartition(f'\n{name}: ')
    return message if text.startswith('Caught ') and found else text


def _options_taken(error: BaseException) -> str:
    """For options that a class does not take: those that it does.

    Other errors than Python's own may quote it, and then say this already.
    """
    if not isinstance(error, TypeError):
        return ''
    unknown = _UNKNOWN_OPTION.search(str(error))
    cls = unknown and _class_called(error, unknown[1])
    if not unknown or not cls:
        return ''
    inits = [vars(c)['__init__'] for c in cls.__mro__ if '__init__' in vars(c)]
    signatures = [inspect.signature(init) for init in inits]
    named = [p for s in signatures[:-1] for p in list(s.parameters.values())[1:]]
    known = list(
        dict.fromkeys(p.name for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    )
    meant = closest(unknown[2], known)
    hint = f' (perhaps {meant})' if meant else ''
    return f', expected some of {", ".join(known)}{hint}' if known else ''


def _class_called(error: BaseException, name: str) -> type | None:
    """The class of a name, or the subclass of it, that the frames of an error know."""
    for frame in reversed(list(frames_of(error))):
        for value in [*frame.f_locals.values(), frame.f_globals.get(name)]:
            if inspect.isclass(value) and name in [c.__name__ for c in value.__mro__]:
                return value
    return None
