"""How many different convolutions the sub-networks of a run ask of the device.

Libraries build or tune a kernel for each new shape, which costs more than running it. Shapes follow
from the draws of widths and transforms alone, so nothing is convolved here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones.deformable import deformable_layers
from ..slimmable import SlimConv
from ..slimmable.channels import active_channels
from ..training.sampler import Subnet

Channels = tuple[tuple[str, int, int], ...]
"""Convolutions that run, in order: name, input channels, output channels."""


class ConvShapes:
    """Counts different convolutions over the iterations of a run.

    A convolution's shape is its input and output channels, the size of its input, kernel size,
    stride and dilation. The batch has one size.

    Args:
        model: A GradAug detector or classifier; it is not changed. Its backbone is looked at.
        size: Height and width of the images in pixels.
        channels: Of the images.

    Raises:
        ValueError: If the backbone has deformable convolutions, which run on values alone.
    """

    def __init__(self, model: Any, size: tuple[int, int], channels: int = 3) -> None:
        _refuse_deformable(model.backbone)
        self.sampler = model.sampler
        self.seed = model._draw_seed()
        self.pad = model.pad_images
        self.backbone = _without_norms(copy.deepcopy(model.backbone)).to('meta').eval()
        self.images = torch.empty(1, channels, *size, device='meta')
        self.convs = {n: m for n, m in self.backbone.named_modules() if isinstance(m, nn.Conv2d)}
        self._channels: dict[Any, Channels] = {}
        self._sizes: dict[Any, dict[str, tuple[int, int]]] = {}
        self._moved: dict[Any, tuple[int, int]] = {}

    def after(self, iterations: int) -> list[int]:
        """Different shapes of all passes up to and with each iteration."""
        seen = set(self._shapes_of_pass(None))
        counts = []
        for iteration in range(iterations):
            for subnet in self.sampler.sample(self.seed, iteration):
                seen.update(self._shapes_of_pass(subnet))
            counts.append(len(seen))
        return counts

    def _shapes_of_pass(self, subnet: Subnet | None) -> Iterator[tuple[Any, ...]]:
        """Shapes of one pass."""
        sizes = self._input_sizes(self._image_size(subnet))
        for name, ins, outs in self._active_channels(subnet):
            conv = self.convs[name]
            yield (ins, outs, sizes[name], conv.kernel_size, conv.stride, conv.dilation)

    def _image_size(self, subnet: Subnet | None) -> tuple[int, int]:
        """Height and width of what a pass sees."""
        if subnet is None:
            return self.images.size(-2), self.images.size(-1)
        if subnet.transform not in self._moved:
            images = self.pad(subnet.transform(self.images)[0])
            self._moved[subnet.transform] = images.size(-2), images.size(-1)
        return self._moved[subnet.transform]

    def _input_sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Height and width that enter each convolution; they do not depend on the width."""
        if size not in self._sizes:
            seen = self._run(self.images.new_empty(1, self.images.size(1), *size))
            self._sizes[size] = {name: (x.size(-2), x.size(-1)) for name, (x, _) in seen.items()}
        return self._sizes[size]

    def _active_channels(self, subnet: Subnet | None) -> Channels:
        """Channels of each convolution that runs; they do not depend on the images' size."""
        if subnet is None:
            return self._observed_channels()
        outs = tuple(
            active_channels(conv.out_channels, subnet.width, conv.divisor, conv.quarter)
            for conv in self.convs.values()
            if isinstance(conv, SlimConv)
        )
        key = (outs, subnet.kept_blocks(self.backbone))
        if key not in self._channels:
            with subnet.active_in(self.backbone):
                self._channels[key] = self._observed_channels()
        return self._channels[key]

    def _observed_channels(self) -> Channels:
        """Channels by running the network as it is set."""
        seen = self._run(self.images)
        return tuple((name, x.size(1), y.size(1)) for name, (x, y) in seen.items())

    def _run(self, images: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Input and output of every convolution that runs, without values."""
        seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        with torch.no_grad(), _watching(self.convs, seen):
            self.backbone(images)
        return seen


def _refuse_deformable(backbone: nn.Module) -> None:
    """Raise if a layer cannot run without values."""
    for name, layer in deformable_layers(backbone):
        raise ValueError(
            f'backbone.{name} is a {type(layer).__name__}, which runs on values alone, expected '
            'ordinary convolutions: count the shapes without dcn'
        )


def _without_norms(network: nn.Module) -> nn.Module:
    """The network, changed: BatchNorm keeps shapes, and takes most of the time without values."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, nn.Identity())
    return network


@contextmanager
def _watching(
    convs: dict[str, nn.Conv2d], seen: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> Iterator[None]:
    """Note what enters and leaves convolutions."""

    def note(name: str) -> Any:
        return lambda module, args, out: seen.__setitem__(name, (args[0], out))

    hooks = [conv.register_forward_hook(note(name)) for name, conv in convs.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
