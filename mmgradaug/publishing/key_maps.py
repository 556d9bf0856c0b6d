"""Read networks under the names that other libraries give their layers, and write them so.

A key map goes from each key of our network's state dict to its key in a library. Layers are
renamed; what their tensors are called (``weight``, ``running_mean``, ...) is the same everywhere.
Whether a file is exactly that network is then for ``load_state_dict`` to say.
"""

import re
import textwrap
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


def _timm(layer: str, network: Any) -> str:
    return 'bn1' if layer == 'stem.7' else re.sub(r'^stem', 'conv1', layer)


def _mmpretrain(layer: str, network: Any) -> str:
    if layer == CLASSIFIER:
        return 'head.fc'
    if match := re.fullmatch(r'stem\.(\d)', layer):  # mmdet counts activations, too
        block, part = divmod(int(match[1]), 3)
        layer = f'stem.{block}.{("conv", "bn")[part]}'
    if network.avg_down:  # it averages in shortcuts with a stride only: the first stage has none
        layer = re.sub(r'^(layer1\.0\.downsample\.)(\d)', lambda m: f'{m[1]}{int(m[2]) - 1}', layer)
    return f'backbone.{layer}'


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
    if match := re.fullmatch(r'(conv|bn)(\d)', inside):
        inside = f'body.{3 * int(match[2]) - 3 + (match[1] == "bn")}'
    return f'features.{number}.{inside.replace("downsample", "shortcut")}'


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
    """
    if library in ('torchvision', 'gradaug') and getattr(network, 'deep_stem', False):
        raise ConfigError(f'{library} has no ResNet with a deep stem: --to timm takes all')
    layers = [key.rpartition('.') for key in network.state_dict()]
    rename = LIBRARIES[library]
    return {f'{layer}.{name}': f'{rename(layer, network)}.{name}' for layer, _, name in layers}


def load_external(
    state: Mapping[str, Tensor], library: str, path: Path
) -> tuple[dict[str, Any], nn.Module]:
    """Load weights, under the names of one of :data:`LIBRARIES`, into our network of their kind.

    Returns:
        Config of the backbone, and the backbone in evaluation mode with the weights; it has the
        linear layer as ``fc`` if there is one in the file (``path``, for messages).
    """
    init_default_scope('mmdet')
    keys = {key.removeprefix('backbone.'): tensor for key, tensor in state.items()}
    is_small = library == 'gradaug' and 'features.0.0.weight' not in keys
    config = _find_cifar_network(keys) if is_small else _find_resnet(keys)
    if config is None:
        raise ConfigError(
            f'{path} is no network that is known from {library} (its keys: '
            f'{", ".join(list(state)[:3])}, ...), expected a ResNet-18 to -152'
            f'{", or a network of the released code" if library == "gradaug" else ""}'
        )
    with torch.device('meta'):
        network = MODELS.build(config)
        head = state.get(f'{LIBRARIES[library](CLASSIFIER, network)}.weight')
        if head is not None:
            network.add_module(CLASSIFIER, nn.Linear(head.size(1), head.size(0)))
    ours = {theirs: key for key, theirs in key_map(network, library).items()}
    weights = {ours.get(k, k): v for k, v in state.items()}
    load_strictly(network, weights, path, True, 'Expected a plain one')
    network.eval()  # returns nothing, in mmdet's ResNet
    return config, network


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
    network: nn.Module,
    weights: Mapping[str, Tensor],
    path: Path | str,
    assign: bool = False,
    fix: str = 'Give the config of its training',
) -> None:
    """Load weights of a file (``path``), that have to fit exactly; ``assign`` is as of torch."""
    try:
        network.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        lines = str(error).partition('\n')[2]
        raise ConfigError(
            f'{path} does not fit {type(network).__name__}: '
            f'{textwrap.shorten(lines, 400, placeholder=" ...")} {fix}'
        ) from error
