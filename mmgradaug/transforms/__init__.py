"""What sub-networks see: random transforms of the normalised batch, and where things went."""

from .base import (
    SUBNET_TRANSFORMS,
    RandomTransform,
    Transform,
    build_transform,
    crops_images,
    possible_turns,
)
from .chain import Chain
from .crop import RandomResizedCrop, ResizedCrop
from .geometry import GeometricMap
from .rotate import RandomRotate, Rotate
from .scale import RandomScale, Scale

__all__ = [
    'SUBNET_TRANSFORMS',
    'Chain',
    'GeometricMap',
    'RandomResizedCrop',
    'RandomRotate',
    'RandomScale',
    'RandomTransform',
    'ResizedCrop',
    'Rotate',
    'Scale',
    'Transform',
    'build_transform',
    'crops_images',
    'possible_turns',
]
