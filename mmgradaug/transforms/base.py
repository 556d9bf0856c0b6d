"""What a transform of the images that sub-networks see has to offer."""

from __future__ import annotations

import random
from typing import Any, Protocol, runtime_checkable

from mmengine.registry import Registry
from torch import Tensor

from .geometry import GeometricMap

SUBNET_TRANSFORMS = Registry('subnet_transform', scope='mmgradaug')
"""Random transforms of a batch; ``type`` in the config key ``gradaug.transform``."""


@runtime_checkable
class Transform(Protocol):
    """One drawn transform: deterministic, so that every process and a resumed run repeat it."""

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Transform normalised images (N, C, H, W) on their device; return where all went."""


class RandomTransform(Protocol):
    """A distribution of transforms.

    One that can turn images has an attribute ``possible_turns``, see :func:`possible_turns`; one
    that shows a part of each image only has ``crops_images = True``.
    """

    def draw(self, generator: random.Random) -> Transform:
        """Draw one transform."""


def possible_turns(transform: RandomTransform) -> frozenset[int]:
    """Counter-clockwise quarter turns, 0 to 3, that drawn transforms may make.

    What cannot be turned, such as some anchors, is then refused before training starts. A
    transform that does not say is taken to make none; if it does make some, training stops
    at the first that meets what cannot be turned.
    """
    return frozenset(getattr(transform, 'possible_turns', {0}))


def crops_images(transform: RandomTransform) -> bool:
    """Whether drawn transforms show a part of each image only, as detectors cannot take it."""
    return bool(getattr(transform, 'crops_images', False))


def build_transform(cfg: Any) -> RandomTransform:
    """Build a transform, or a chain of them from a list, from its config.

    Args:
        cfg: ``dict(type='RandomScale', scales=[1.0, 0.8])``, a list of such dicts applied
            one after the other, an object with a ``draw`` method, or None for the original
            images.

    Raises:
        TypeError: If it is none of these.
        ValueError: If no transform of that name is registered, or a list is empty.
    """
    if hasattr(cfg, 'draw'):
        return cfg
    if isinstance(cfg, dict):
        return _build_registered(cfg)
    if cfg is None:
        return _build_registered({'type': 'Unchanged'})
    if isinstance(cfg, (list, tuple)):
        return _build_registered({'type': 'Chain', 'transforms': cfg})
    raise TypeError(
        f'gradaug.transform must be a dict, a list of dicts or None, got {cfg!r}: for example '
        "dict(type='RandomScale', scales=[1.0, 0.8, 0.6])"
    )


def _build_registered(cfg: dict[str, Any]) -> RandomTransform:
    """Build by registered name, in whatever default scope the run has set."""
    options = {key: value for key, value in cfg.items() if key != '_scope_'}  # mmengine's mark
    name = options.pop('type', None)
    transform = SUBNET_TRANSFORMS.get(name) if isinstance(name, str) else name
    if transform is None:
        raise ValueError(
            f'gradaug.transform has type {name!r}, expected one of '
            f'{sorted(SUBNET_TRANSFORMS.module_dict)}'
        )
    try:
        return transform(**options)
    except TypeError as error:
        raise ValueError(
            f'gradaug.transform {name}: {error}; got options {options}. A config that replaces an '
            'inherited transform needs dict(_delete_=True, ...), or the old options stay'
        ) from error
