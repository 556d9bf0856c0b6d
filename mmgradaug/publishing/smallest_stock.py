"""The smallest stock ResNet that a sub-network fits into.

mmdet's ResNet has ``base_channels * 2**i`` channels in stage i, while a sub-network rounds every
layer by itself: ResNet-50 at 0.9 keeps 57, 115, 230 and 461 of 64, 128, 256 and 512, so it takes
``base_channels=58``.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

from mmdet.models.backbones.resnet import BasicBlock
from torch import nn


def smallest_options(dense: Any) -> dict[str, int]:
    """Options of the smallest mmdet ResNet or ResNeXt that a dense sub-network fits into.

    Args:
        dense: What ``extract_subnet`` gave; its own options are still the full network's.
    """
    groups = max(block.conv2.groups for _, block in _blocks(dense))
    base = max(
        ceil(planes / 2**stage)
        for stage, block in _blocks(dense)
        for planes in _planes(block, groups)
    )
    stem, expansion = _stem_channels(dense), dense.block.expansion
    projects = dense.layer1[0].downsample is not None
    if not projects:  # the stem enters the first sum as it is
        base = max(base, ceil(stem / expansion))
    if groups > 1:
        base = _next_base_of_groups(dense, base)
    if not projects:
        stem = base * expansion
    elif stem == base * expansion and dense.strides[0] == 1:
        stem += 2  # mmdet would leave out the projection that the sub-network has
    options = {'base_channels': base, 'stem_channels': stem}
    return options | ({'groups': groups} if hasattr(dense, 'groups') else {})


def _stem_channels(dense: Any) -> int:
    """mmdet's ``stem_channels`` of a network."""
    if not dense.deep_stem:
        return dense.conv1.out_channels
    *halves, last = (m.out_channels for m in dense.stem.modules() if isinstance(m, nn.Conv2d))
    return max(last, *(2 * half for half in halves))


def _next_base_of_groups(dense: Any, base: int) -> int:
    """The next ``base_channels`` at which mmdet's ResNeXt has groups of these sizes.

    It computes them in floating point and rounds down, so that 4 channels may become 3.
    """

    def same(base: int) -> bool:
        return all(
            floor(base * 2**stage * (dense.base_width / base)) == block.conv2.weight.size(1)
            for stage, block in _blocks(dense)
        )

    # The full network has such groups and no fewer channels, so the search ends there.
    return next(found for found in range(base, dense.base_channels + 1) if same(found))


def _blocks(network: Any) -> list[tuple[int, Any]]:
    """Each residual block with the index of its stage."""
    stages = enumerate(network.res_layers)
    return [(i, block) for i, layer in stages for block in network.get_submodule(layer)]


def _planes(block: Any, groups: int) -> list[int]:
    """What the layers of a block ask of mmdet's ``planes``."""
    widths = [conv.out_channels for conv in _convs(block)]
    # In groups, the middle follows from their number and size.
    return [*(widths[:-1] if groups == 1 else []), ceil(widths[-1] / block.expansion)]


def _convs(block: Any) -> list[nn.Conv2d]:
    """The convolutions of a residual branch."""
    convs = [block.conv1, block.conv2]
    return convs if isinstance(block, BasicBlock) else [*convs, block.conv3]


def out_channels(network: Any) -> list[int]:
    """Channels of each output of a ResNet, read from its layers."""
    layers = [network.get_submodule(network.res_layers[i]) for i in network.out_indices]
    return [_convs(layer[-1])[-1].out_channels for layer in layers]
