"""The algorithm, once: which sub-networks, the training step, several processes."""

from .ddp import GradAugDistributedDataParallel
from .model import GradAugMixin
from .sampler import GradAugOptions, Subnet, SubnetSampler
from .step import gradaug_step
