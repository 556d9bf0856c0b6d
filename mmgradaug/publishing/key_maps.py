"""Read networks under the names that other libraries give their layers, and write them so.

A key map goes from each key of our network's state dict to its key in a library. Layers are
renamed; what their tensors are called (``weight``, ``running_mean``, ...) is the same everywhere.
Whether a file is exactly that network is then for ``load_state_dict`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ..backbones import WideResNet
from ..errors import ConfigError

CLASSIFIER = 'fc'
# A convolution and its BatchNorm, three times: mmdet counts the activations between them.
DEEP_STEM = ('stem.0', 'stem.1', 'stem.3', 'stem.4', 'stem.6', 'stem.7')
TIMM_STEM = ('conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6', 'bn1')
MMPRETRAIN_STEM = tuple(f'stem.{i}.{part}' for i in range(3) for part in ('conv', 'bn'))
# mmpretrain averages in shortcuts with a stride only, so the first stage has no average to count.
MMPRETRAIN_SHORTCUT = {
    'layer1.0.downsample.1': 'layer1.0.downsample.0',
    'layer1.0.downsample.2': 'layer1.0.downsample.1',
}
GRADAUG_BLOCK = {
    'conv1': 'body.0',
    'bn1': 'body.1',
    'conv2': 'body.3',
    'bn2': 'body.4',
    'conv3': 'body.6',
    'bn3': 'body.7',
    'downsample.0': 'shortcut.0',
    'downsample.1': 'shortcut.1',
}


def _timm(layer: str, network: Any) -> str:
    return dict(zip(DEEP_STEM, TIMM_STEM, strict=True)).get(layer, layer)


def _mmpretrain(layer: str, network: Any) -> str:
    if layer == CLASSIFIER:
        return 'head.fc'
    stem = dict(zip(DEEP_STEM, MMPRETRAIN_STEM, strict=True))
    shortcut = MMPRETRAIN_SHORTCUT if network.avg_down else {}
    return f'backbone.{(stem | shortcut).get(layer, layer)}'


def _gradaug(layer: str, network: Any) -> str:
    """Return the released code's name; blocks of its ImageNet ResNets are counted in one row."""
    if isinstance(network, WideResNet):
        layer = re.sub(r'^layer(\d)\.(\d+)', r'block\1.layer.\2', layer)
        return layer.replace('projection', 'convShortcut')
    if not isinstance(network, ResNet):  # its PyramidNet and its ResNet for CIFAR
        return layer
    outside = {CLASSIFIER: 'classifier.0', 'conv1': 'features.0.0', 'bn1': 'features.0.1'}
    if layer in outside:
        return outside[layer]
    stage, block, inside = layer.removeprefix('layer').split('.', 2)
    number = 1 + sum(network.stage_blocks[: int(stage) - 1]) + int(block)
    return f'features.{number}.{GRADAUG_BLOCK[inside]}'


LIBRARIES: dict[str, Callable[[str, Any], str]] = {
    'mmdet': lambda layer, network: layer,
    'torchvision': lambda layer, network: layer,
    'timm': _timm,
    'mmpretrain': _mmpretrain,
    'gradaug': _gradaug,
}


def key_map(network: nn.Module, library: str) -> dict[str, str]:
    """Return a library's name of each key of a network's state dict.

    The network is mmdet's ResNet or a plain one of this package, perhaps with a classifier ``fc``.

    Raises:
        ConfigError: If the library has no such network.
    """
    if library in ('torchvision', 'gradaug') and getattr(network, 'deep_stem', False):
        raise ConfigError(
            f'{library} has no ResNet with a deep stem, expected one with a stem of one '
            'convolution: --to timm takes all'
        )
    layers = [key.rpartition('.') for key in network.state_dict()]
    rename = LIBRARIES[library]
    return {f'{layer}.{name}': f'{rename(layer, network)}.{name}' for layer, _, name in layers}


def load_external(
    state: Mapping[str, Tensor], library: str, path: Path
) -> tuple[dict[str, Any], nn.Module]:
    """Load a library's weights into our network of the same architecture.

    Args:
        state: The weights under the library's names, with or without a classifier.
        library: One of :data:`LIBRARIES`.
        path: Their file, for messages.

    Returns:
        Config of the backbone, and the backbone in evaluation mode with the weights; it has the
        linear layer as ``fc`` if there is one in the file.

    Raises:
        ConfigError: If anything of the network is missing, of another shape or too much.
    """
    init_default_scope('mmdet')
    config = find_architecture(state, library, path)
    with torch.device('meta'):
        network = MODELS.build(config)
        head = state.get(f'{LIBRARIES[library](CLASSIFIER, network)}.weight')
        if head is not None:
            network.add_module(CLASSIFIER, nn.Linear(head.size(1), head.size(0)))
    ours = {theirs: key for key, theirs in key_map(network, library).items()}
    load_strictly(network, {ours.get(k, k): v for k, v in state.items()}, path, assign=True)
    network.eval()  # returns nothing, in mmdet's ResNet
    return config, network


def find_architecture(state: Mapping[str, Tensor], library: str, path: Path) -> dict[str, Any]:
    """Return the config of the network whose keys and shapes a state dict has.

    Raises:
        ConfigError: If it is none that is known of the library.
    """
    keys = {key.removeprefix('backbone.'): tensor for key, tensor in state.items()}
    if library == 'gradaug' and 'features.0.0.weight' not in keys:
        found = _find_cifar_network(keys)
    else:
        found = _find_resnet(keys)
    if found is None:
        raise ConfigError(
            f'{path} is no network that is known from {library} (its keys: '
            f'{", ".join(list(state)[:3])}, ...), expected a ResNet-18 to -152'
            f'{", or a network of the released code" if library == "gradaug" else ""}'
        )
    return found


def _find_resnet(keys: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the config of an ImageNet ResNet, by its blocks, stem and shortcuts."""
    blocks = {m[0] for key in keys if (m := re.match(r'layer\d\.\d+|features\.[1-9]\d*', key))}
    is_bottleneck = any(re.search(r'\.(conv3|body\.6)\.weight', key) for key in keys)
    depth = 2 + len(blocks) * (3 if is_bottleneck else 2)
    if depth not in ResNet.arch_settings:
        return None
    shortcut = keys.get('layer2.0.downsample.1.weight')  # after an average, a convolution
    if shortcut is not None and shortcut.dim() == 4:
        return {'type': 'ResNetV1d', 'depth': depth}
    deep = any(key.startswith(('stem.', 'conv1.0.')) for key in keys)
    return {'type': 'ResNet', 'depth': depth} | ({'deep_stem': True} if deep else {})


def _find_cifar_network(keys: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the config of one of the released networks for CIFAR."""
    each = sum(bool(re.match(r'(layer1|block1\.layer)\.\d+\.conv1\.weight', key)) for key in keys)
    if not each:
        return None
    wide, last = keys.get('block1.layer.0.conv1.weight'), keys.get('bn_final.weight')
    if wide is not None:
        return {'type': 'WideResNet', 'depth': 6 * each + 4, 'widen_factor': len(wide) / 16}
    if last is None:
        depth = {'type': 'DepthResNet', 'depth': 6 * each + 2, 'shortcut': 'projection'}
        return depth | {'survival': 0.8, 'keep_first': True, 'evaluation': 'expected'}
    bottleneck = 'layer1.0.conv3.weight' in keys
    layers, expansion = (9, 4) if bottleneck else (6, 1)
    options = {'depth': layers * each + 2, 'alpha': len(last) / expansion - 16}
    return {'type': 'PyramidNet', 'bottleneck': bottleneck, **options}


def load_strictly(
    network: nn.Module, weights: Mapping[str, Tensor], path: Path | str, assign: bool = False
) -> None:
    """Load weights of a file (``path``), that have to fit exactly; ``assign`` is as of torch.

    Raises:
        ConfigError: If they do not fit, with what is missing, too much or of another shape.
    """
    try:
        network.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        lines = ' '.join(line.strip() for line in str(error).splitlines()[1:])
        raise ConfigError(
            f'{path} does not fit {type(network).__name__}: {lines[:400]} expected exactly its '
            'weights: give the config that it was trained with, by --config'
        ) from error
