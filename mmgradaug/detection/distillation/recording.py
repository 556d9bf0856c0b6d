"""Keep what a head saw and said during the full network's pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def recording_calls(
    owner: Any, method: str, sink: Callable[[dict[str, Any], Any], None]
) -> Iterator[None]:
    """Report each call of a bound method, while the context lasts.

    Args:
        owner: The object whose method is watched; others of its class are not.
        method: The method's name.
        sink: Called with the arguments by name and with the result.
    """
    original = getattr(owner, method)
    signature = inspect.signature(original)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        sink(dict(signature.bind(*args, **kwargs).arguments), result)
        return result

    owner.__dict__[method] = watched
    try:
        yield
    finally:
        del owner.__dict__[method]
