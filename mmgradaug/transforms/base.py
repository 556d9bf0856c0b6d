"""Random transforms of the images that sub-networks see: what one offers, chains, and configs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mmengine.registry import Registry
from torch import Tensor

from ..errors import ConfigError
from .geometry import GeometricMap

SUBNET_TRANSFORMS = Registry('subnet_transform', scope='mmgradaug')
"""Random transforms of a batch; ``type`` in the config key ``gradaug.transform``."""


class Transform(Protocol):
    """One drawn transform: deterministic, so that every process and a resumed run repeat it."""

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Transform normalised images (N, C, H, W) on their device; return where all went."""


@dataclass(frozen=True)
class DrawnChain:
    """Drawn transforms, applied in order; none is the identity."""

    transforms: tuple[Transform, ...]

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Transform images (N, C, H, W)."""
        size = (images.size(-2), images.size(-1))
        mapping = GeometricMap(size, size)
        for transform in self.transforms:
            images, step = transform(images)
            mapping = mapping.then(step)
        return images, mapping


@SUBNET_TRANSFORMS.register_module()
class Chain:
    """Apply transforms in order, for example rotate, then scale (GradAug, Table 5).

    Args:
        transforms: Their configs; none of them leaves images as they are.
    """

    def __init__(self, transforms: Sequence[Any] = ()) -> None:
        self.transforms = [build_transform(transform) for transform in transforms]

    def draw(self, generator: random.Random) -> Transform:
        """Draw every transform."""
        return DrawnChain(tuple(transform.draw(generator) for transform in self.transforms))


def build_transform(cfg: Any) -> Any:
    """Build a transform from ``dict(type='RandomScale', scales=[1.0, 0.8])``, or a chain of a list.

    Its ``draw(generator)`` gives a :class:`Transform`. None is the original images; an object with
    such a method is returned as it is.
    """
    if hasattr(cfg, 'draw'):
        return cfg
    if cfg is None or isinstance(cfg, (list, tuple)):
        return Chain(cfg or ())
    if not isinstance(cfg, dict):
        raise ConfigError(
            f'gradaug.transform must be a dict, a list of dicts or None, got {cfg!r}: for example '
            "dict(type='RandomScale', scales=[1.0, 0.8, 0.6])"
        )
    options = {key: value for key, value in cfg.items() if key != '_scope_'}  # mmengine's mark
    name = options.pop('type', None)
    transform = SUBNET_TRANSFORMS.get(name) if isinstance(name, str) else name
    if transform is None:
        raise ConfigError(
            f'gradaug.transform has type {name!r}, expected one of '
            f'{sorted(SUBNET_TRANSFORMS.module_dict)}'
        )
    try:
        return transform(**options)
    except TypeError as error:
        raise ConfigError(
            f'gradaug.transform {name}: {error}; got options {options}. A config that replaces an '
            'inherited transform needs dict(_delete_=True, ...), or the old options stay'
        ) from error
