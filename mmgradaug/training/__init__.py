"""The algorithm, once: which sub-networks, the training step, several processes."""

from .ddp import GradAugDistributedDataParallel
from .model import GradAugMixin
from .options import GradAugOptions
from .sampler import Subnet, SubnetSampler
from .step import gradaug_step

__all__ = [
    'GradAugDistributedDataParallel',
    'GradAugMixin',
    'GradAugOptions',
    'Subnet',
    'SubnetSampler',
    'gradaug_step',
]
