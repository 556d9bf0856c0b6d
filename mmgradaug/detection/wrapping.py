"""The class of a GradAug detector: the wrapper's training step before a detector of mmdet's."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS

from ..training import GradAugMixin


@functools.cache
def wrapped_class(wrapper: type, stock: type) -> type:
    """The class that has the training step of one class and is else another: always the same one.

    Args:
        wrapper: ``GradAugDetector``, or a subclass that changes some of it.
        stock: The detector's class.

    Returns:
        A subclass of both. No module holds it under its name, so instances are pickled and
        copied as what they are made of; see :func:`reduced`.
    """
    name = f'{wrapper.__name__.removesuffix("Detector")}{stock.__name__}'
    body = {
        '__module__': wrapper.__module__,
        '__doc__': stock.__doc__,
        '_made_of': (wrapper, stock),
    }
    return type(name, (wrapper, stock), body)


def reduced(instance: Any, default: tuple) -> tuple:
    """What pickle and copy keep of an instance.

    Args:
        instance: Of a class that :func:`wrapped_class` made, or of any other.
        default: What they would keep otherwise, the class by its name.
    """
    made_of = vars(type(instance)).get('_made_of')
    return default if made_of is None else (_empty_instance, made_of, *default[2:])


def _empty_instance(wrapper: type, stock: type) -> Any:
    """An instance of a wrapped class, whose state is about to follow."""
    cls: Any = wrapped_class(wrapper, stock)
    return cls.__new__(cls)


def detector_class(detector: str | type | None) -> type:
    """The class of a detector name.

    Raises:
        ValueError: If there is no such detector.
    """
    found = detector if inspect.isclass(detector) else None
    if isinstance(detector, str):
        found = MODELS.get(detector)
    if inspect.isclass(found) and issubclass(found, BaseDetector):
        return found
    names = [
        name
        for name, module in MODELS.module_dict.items()
        if inspect.isclass(module) and issubclass(module, BaseDetector)
    ]
    close = difflib.get_close_matches(str(detector), names, n=3) or ['MaskRCNN', 'FasterRCNN']
    raise ValueError(
        f'detector={detector!r} is not a detector registered in mmdet, expected a name such as '
        f'{", ".join(close)}: set model.detector to the `type` of the stock config'
    )


def require_options(cls: type, options: Mapping[str, Any]) -> None:
    """Raise if the detector inside a GradAug class does not take some options.

    Raises:
        ValueError: With the options that are unknown or missing.
    """
    stock = next(
        c for c in cls.__mro__ if issubclass(c, BaseDetector) and not issubclass(c, GradAugMixin)
    )
    parameters = inspect.signature(stock.__init__).parameters  # type: ignore[misc]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = list(parameters)[1:]
    unknown = sorted(set(options) - set(known))
    required = [k for k in known if parameters[k].default is inspect.Parameter.empty]
    missing = [k for k in required if k not in options]
    if unknown:
        raise ValueError(
            f'detector={stock.__name__!r} does not take {", ".join(unknown)}, expected some of '
            f'{", ".join(known)}: set model.detector to the `type` of the stock config'
        )
    if missing:
        raise ValueError(
            f'detector={stock.__name__!r} needs {", ".join(missing)}: set model.detector to the '
            '`type` of the stock config, or add them to model'
        )
