"""Small copies of the networks for small images."""

import torch

from mmgradaug import SlimmableDepthResNet, SlimmablePyramidNet, SlimmableWideResNet
from tests.networks import randomised

NETWORKS = {
    'wide': lambda **kw: SlimmableWideResNet(10, 0.5, **kw),
    'wide_without_projection': lambda **kw: SlimmableWideResNet(16, 1, **kw),
    'pyramid': lambda **kw: SlimmablePyramidNet(20, 21, **kw),
    'pyramid_basic': lambda **kw: SlimmablePyramidNet(14, 13, bottleneck=False, **kw),
    'depth': lambda **kw: SlimmableDepthResNet(14, **kw),
    'depth_projection': lambda **kw: SlimmableDepthResNet(14, shortcut='projection', **kw),
}


def small(name, dtype=torch.float32, **options):
    """One of the networks with random weights, in training mode."""
    return randomised(NETWORKS[name](**options)).to(dtype).train()
