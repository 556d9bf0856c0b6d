"""Cut a sub-network out of its parent as an ordinary dense network."""

import copy
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError
from .layers import SlimConv, SlimmableNetwork
from .width import at_width, has_slimmable_layers


def extract_subnet(network: nn.Module, width: float) -> nn.Module:
    """Return the sub-network of a width as a dense network of its own.

    Every slimmable layer becomes a stock, narrower one (``nn.Conv2d``, ``nn.BatchNorm2d``,
    ``nn.SyncBatchNorm``, ``nn.GroupNorm``, mmcv's convolutions) with copies of the first channels'
    parameters and running statistics. Outputs and gradients equal those of ``network`` inside
    ``at_width(network, width)``; the outputs of a backbone are the narrow ones, without the silent
    channels.
    Deformable convolutions in groups are the exception: they keep all inputs, and take the first.

    Args:
        network: Module with slimmable layers; it is not changed.
        width: Share of the channels to keep, in (0, 1].

    Raises:
        ConfigError: If the width is not in (0, 1], or the network is no slimmable backbone, or one
            with a forward of its own that its ``stock_cls`` lacks.
    """
    if hasattr(network, 'backbone') or not has_slimmable_layers(network):
        raise ConfigError(
            f'cannot extract a sub-network from {type(network).__name__}, expected a slimmable '
            'backbone such as SlimmableResNet: give tools a config with one, which plain '
            'checkpoints fit, too; of a detector, pass model.backbone'
        )
    dense = copy.deepcopy(network)
    sizes = _input_channels(dense, width)
    for name, layer in list(dense.named_modules()):
        if hasattr(layer, 'to_dense'):
            with at_width(layer, width):
                dense.set_submodule(name, _dense_layer(layer, sizes[name]))
    return _stock_network(dense) if isinstance(dense, SlimmableNetwork) else dense


def _stock_network(network: SlimmableNetwork) -> nn.Module:
    """Return a network of the stock class with the modules of this one."""
    mro = type(network).__mro__
    own = mro[: next(i for i, cls in enumerate(mro) if 'stock_cls' in vars(cls))]
    if any('forward' in vars(cls) for cls in own):
        raise ConfigError(
            f'{own[0].__name__} has a forward of its own, which {network.stock_cls.__name__} has '
            'not: set its stock_cls to your dense network'
        )
    args, options = network.built_with
    with torch.device('meta'):  # its own modules are replaced
        stock = network.stock_cls(*args, **options)
    for name, module in network.named_children():
        setattr(stock, name, module)
    stock.training = network.training
    if hasattr(network, 'norm_eval'):  # which classifiers change, and `train` reads
        stock.norm_eval = network.norm_eval
    return stock


def _input_channels(network: nn.Module, width: float) -> dict[str, int]:
    """Return the channels that enter each layer that depends on them, by module name."""
    first: Any = next(m for m in network.modules() if isinstance(m, (nn.Conv2d, SlimConv)))
    # At stride 32 this has 3 x 3 cells, which deformable convolutions need.
    example = first.weight.new_zeros(1, first.in_channels, 96, 96)
    sizes: dict[str, int] = {}
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    with at_width(network, width), torch.no_grad():  # which puts converted norms back
        for name, layer in network.named_modules():
            if hasattr(layer, 'to_dense'):  # and will be replaced, its hook too
                layer.register_forward_pre_hook(
                    lambda _, args, name=name: sizes.update({name: args[0].size(1)})
                )
        network(example)
    for module, training in modes:
        module.training = training
    return sizes


def _dense_layer(layer: Any, in_channels: int) -> nn.Module:
    """Return a stock layer with the first channels of a slimmable one."""
    tensors = layer.state_dict(keep_vars=True)
    dense = layer.to_dense(in_channels)
    dense.to(next(iter(tensors.values()), None))
    for name, own in dense.state_dict(keep_vars=True).items():
        tensor = tensors[name]
        own.data.copy_(tensor[tuple(slice(size) for size in own.shape)].data)
        own.requires_grad_(tensor.requires_grad)
    return dense.train(layer.training)
