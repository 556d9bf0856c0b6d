"""What sub-networks see: random transforms of the normalised batch, and where things went."""

from .base import SUBNET_TRANSFORMS, Chain, DrawnChain, Transform, build_transform
from .geometry import GeometricMap
from .mask import Mask, RandomMask
from .rotate import RandomRotate, Rotate
from .scale import RandomScale, Scale
