"""What a config's ``type`` names: a class, ``'Name'``, ``'scope.Name'`` or ``'path.to.Name'``.

Whatever compares types asks here, so that ``mmgradaug.GradAugDetector`` and
``mmdet.LoadImageFromFile`` are known everywhere as they are without their scope.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry


def type_name(kind: Any) -> str:
    """Return the bare name of a type; empty if it is neither a class nor text."""
    if inspect.isclass(kind):
        return kind.__name__
    return kind.rpartition('.')[2] if isinstance(kind, str) else ''


def class_of(kind: Any, registry: Registry) -> type | None:
    """Return the class that a type stands for; None for no class, or one that is not registered."""
    try:
        found = registry.get(kind) if isinstance(kind, str) else kind
    except (RuntimeError, TypeError):  # mmengine's, for a name that cannot even be looked up
        return None
    return found if inspect.isclass(found) else None


def builds(config: Any, cls: type, registry: Registry) -> bool:
    """Return whether a config is a dict whose ``type`` stands for this class itself."""
    return isinstance(config, Mapping) and class_of(config.get('type'), registry) is cls
