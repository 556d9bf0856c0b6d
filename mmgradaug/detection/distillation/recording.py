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

    A function that someone put in the method's place on this object alone runs in it, and is
    there again afterwards.

    Args:
        owner: The object whose method is watched; others of its class are not.
        method: The method's name.
        sink: Called with the arguments, named as the class names them, and with the result.
    """
    original = getattr(owner, method)
    signature = inspect.signature(getattr(type(owner), method))
    own = {name: value for name, value in vars(owner).items() if name == method}

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        sink(dict(signature.bind(owner, *args, **kwargs).arguments), result)
        return result

    vars(owner)[method] = watched
    try:
        yield
    finally:
        vars(owner).pop(method, None)
        vars(owner).update(own)
