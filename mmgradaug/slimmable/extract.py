"""Cut a sub-network out of its parent as an ordinary dense network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .depth import check_kept, skippable_blocks
from .layers import SlimConv
from .width import at_width, has_slimmable_layers


def extract_subnet(
    network: nn.Module,
    width: float,
    example: Tensor | None = None,
    kept: Sequence[bool] | None = None,
) -> nn.Module:
    """Return the sub-network of a width, or of a width and depth, as a dense network of its own.

    Every slimmable layer becomes a plain, narrower one (``nn.Conv2d``, ``nn.BatchNorm2d``,
    ``nn.SyncBatchNorm``, ``nn.GroupNorm``, mmcv's convolutions) with copies of the first channels'
    parameters and running statistics. Outputs and gradients equal those of ``network`` inside
    ``at_width(network, width)``; the outputs of a backbone are the narrow ones, without the silent
    channels.
    Deformable convolutions in groups are the exception: they keep all inputs, and take the first.
    A layer of one's own has a method ``plain(channels)``, which gives the plain layer of as many
    input channels; a network's class names the dense class that it becomes in ``dense_class``.

    Args:
        network: Module with slimmable layers; it is not changed.
        width: Share of the channels to keep, in (0, 1].
        example: Input (N, C, H, W) that reaches every layer; by default one image of 96 x 96
            pixels with as many channels as the first convolution takes.
        kept: For each residual block that can be left out, whether the sub-network has it, as
            in :func:`~mmgradaug.slimmable.depth.at_depth`. Those it has weigh 1 from then on,
            in evaluation mode too; in place of the others their shortcuts remain. None leaves
            the depth as it is.

    Raises:
        ValueError: If the width is not in (0, 1], if the network has no slimmable layer, if it
            is a whole model around a backbone, if the example does not reach a convolution or
            BatchNorm, or if ``kept`` has not one entry a block.
    """
    backbone = getattr(network, 'backbone', None)
    if isinstance(backbone, nn.Module) and has_slimmable_layers(backbone):
        raise ValueError(
            f'{type(network).__name__} is a model around a backbone, expected the backbone: pass '
            'model.backbone (for a whole narrow detector see tools/publish.py --width)'
        )
    if not has_slimmable_layers(network):
        raise ValueError(
            f'{type(network).__name__} has no slimmable layer to extract a sub-network from: '
            'pass a slimmable backbone such as SlimmableResNet'
        )
    dense = copy.deepcopy(network)
    if kept is not None:
        _leave_out(dense, width, kept)
    sizes = _input_channels(dense, width, example)
    for name, module in list(dense.named_modules()):
        if _has_channels(module):
            if name not in sizes:
                raise ValueError(
                    f'layer {name!r} was not reached by the example: pass one that does'
                )
            with at_width(module, width):
                plain = _dense_layer(module, sizes[name])
            _replace(dense, name, plain)
        elif hasattr(module, 'dense_class'):
            module.__class__ = module.dense_class  # its layers are plain now, and so is it
    return dense


def _leave_out(network: nn.Module, width: float, kept: Sequence[bool]) -> None:
    """Replace blocks that a sub-network has not by their shortcuts, and fix those it has."""
    blocks = skippable_blocks(network)
    check_kept(blocks, kept)
    names = {module: name for name, module in network.named_modules()}
    for block, keep in zip(blocks, kept, strict=True):
        if keep:
            block.survival, block.stochastic = 1.0, False
            continue
        with at_width(block, width):
            shortcut = block.shortcut_alone()
        _replace(network, names[block], shortcut)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the submodule of that name."""
    parent, _, child = name.rpartition('.')
    setattr(network.get_submodule(parent), child, module)


def _input_channels(network: nn.Module, width: float, example: Tensor | None) -> dict[str, int]:
    """Channels that enter each layer that depends on them, by module name."""
    sizes: dict[str, int] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, args: sizes.__setitem__(name, args[0].size(1))

    hooks = [
        module.register_forward_pre_hook(recorder(name))
        for name, module in network.named_modules()
        if _has_channels(module)
    ]
    try:
        with _evaluating(network), at_width(network, width), torch.no_grad():
            network(_example(network) if example is None else example)
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def _example(network: nn.Module) -> Tensor:
    """One black image that fits the network's first convolution.

    At stride 32 it has 3 x 3 cells, which deformable convolutions need.
    """
    first = next(m for m in network.modules() if isinstance(m, SlimConv))
    return first.weight.new_zeros(1, first.in_channels, 96, 96)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for all modules, each one's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _has_channels(layer: nn.Module) -> bool:
    """Whether a layer of a slimmable network is another one in a narrow network."""
    return hasattr(layer, 'plain') or isinstance(layer, _BatchNorm)


def _dense_layer(layer: Any, in_channels: int) -> nn.Module:
    """A plain layer with the first channels of a convolution, normalisation or plugin."""
    is_batch_norm = isinstance(layer, _BatchNorm)
    plain = _plain_norm(layer, in_channels) if is_batch_norm else layer.plain(in_channels)
    tensors = dict([*plain.named_parameters(), *plain.named_buffers()])
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        own = tensors[name]
        own.data.copy_(tensor[tuple(slice(size) for size in own.shape)].data)
        own.requires_grad_(tensor.requires_grad)
    plain.training = layer.training
    return plain


def _plain_norm(layer: _BatchNorm, channels: int) -> _BatchNorm:
    """A stock BatchNorm or SyncBatchNorm of ``channels`` channels, with undefined values."""
    plain = nn.SyncBatchNorm if isinstance(layer, nn.SyncBatchNorm) else nn.BatchNorm2d
    reference = next(iter([*layer.parameters(), *layer.buffers()]), torch.empty(0))
    return plain(
        channels,
        eps=layer.eps,
        momentum=layer.momentum,
        affine=layer.affine,
        track_running_stats=layer.running_mean is not None,
        device=reference.device,
        dtype=reference.dtype if reference.is_floating_point() else None,
    )
