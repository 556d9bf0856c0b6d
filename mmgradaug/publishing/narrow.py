"""A detector's sub-network as a stock mmdet detector of its own.

mmdet's ResNet has ``base_channels * 2**i`` channels in stage i, while a sub-network rounds every
layer by itself: ResNet-50 at 0.9 keeps 57, 115, 230 and 461 of 64, 128, 256 and 512, so it takes
``base_channels=58``. The smallest ResNet that every layer fits into computes the same function,
with its few additional channels silent: their weights, scales and shifts are zero. They stay
silent in further training too, since their gradients are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from mmengine.config import Config
from torch import Tensor, nn

from ..backbones.deformable import deformable_layers
from ..backbones.resnet import without_regularisers
from ..errors import ConfigError
from ..slimmable import extract_subnet, has_slimmable_layers
from .key_maps import load_strictly
from .source import build_model
from .stock_config import PACKAGE, stock_config

BACKBONE_ONLY = 'publish the backbone alone (--to backbone --width W)'


@dataclass(frozen=True)
class Channels:
    """Channels of a backbone output.

    Attributes:
        full: Of the parent.
        active: That the sub-network computes.
        narrow: Of the published network: the active ones and some silent ones.
    """

    full: int
    active: int
    narrow: int


def narrow_detector(model: Any, cfg: Config, width: float) -> tuple[Config, Any]:
    """Return the sub-network of a detector as a stock detector.

    Args:
        model: A detector with a slimmable backbone; its BatchNorm statistics should have been
            recalibrated at the width. It is not changed, and in evaluation mode.
        cfg: Its config.
        width: Share of the backbone's channels, in (0, 1].

    Returns:
        The stock config and the stock detector in evaluation mode, whose detections are those of
        ``model`` inside ``at_width(model, width)``, on its device.

    Raises:
        ConfigError: If the backbone is not slimmable, or what reads its outputs does not say so
            by ``neck.in_channels``.
    """
    if not has_slimmable_layers(model):
        raise ConfigError(
            f'{type(model).__name__} has no slimmable backbone, expected SlimmableResNet: a narrow '
            'detector can be cut out of a GradAug run only; leave out --width'
        )
    stock = stock_config(cfg)
    options, backbone, channels = narrow_backbone(model.backbone, stock.model.backbone, width)
    stock.model.backbone = options
    _narrow_neck(stock.model, channels)
    narrow = build_stock(stock)
    source = model.state_dict() | {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    target = narrow.state_dict()
    state = {
        key: _fitted(key, tensor, target[key].shape, channels) if key in target else tensor
        for key, tensor in source.items()
    }
    load_strictly(narrow, state, 'the trained detector')
    return stock, narrow.to(next(model.parameters()).device)


def narrow_backbone(
    backbone: Any, options: Mapping[str, Any], width: float
) -> tuple[dict[str, Any], Any, list[Channels]]:
    """Return the sub-network of a slimmable backbone as a stock mmdet ResNet.

    Args:
        backbone: A slimmable backbone; it is not changed.
        options: Its stock config.
        width: Share of the channels, in (0, 1].

    Returns:
        The narrow backbone's config, the backbone in evaluation mode on the CPU, and the channels
        of its outputs.

    Raises:
        ConfigError: If it has plugins or deformable convolutions in groups, or statistics over
            several channels that silent ones change.
    """
    dense: Any = extract_subnet(backbone, width).cpu()
    if not isinstance(dense, ResNet):
        raise ConfigError(
            f'{type(dense).__name__} has no narrow stock network, expected a ResNet: --to onnx '
            'takes a classifier with any backbone'
        )
    without_regularisers(dense)
    grouped = any(layer.deform_groups > 1 for _, layer in deformable_layers(dense))
    if options.get('plugins') or (grouped and width < 1):
        key = 'dcn' if grouped else 'plugins'
        raise ConfigError(
            f'model.backbone.{key}={options[key]!r} works on groups of channels, which in a narrow '
            'stock network would be other ones: leave out --width'
        )
    options = {**options, **smallest_options(dense)}
    groups = [m.num_groups for m in dense.modules() if isinstance(m, nn.GroupNorm)]
    if groups:
        options['norm_cfg'] = {**options['norm_cfg'], 'num_groups': groups[0]}
    narrow = build_model(options).to(next(dense.parameters()))
    state = dense.state_dict()
    narrow.load_state_dict(
        {key: _silenced(key, state[key], t.shape) for key, t in narrow.state_dict().items()}
    )
    dense.eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, options.get('in_channels', 3), 128, 160, generator=generator)
    image = image.to(next(dense.parameters()))
    with torch.no_grad():
        expected, found = dense(image), narrow(image)
    channels = [
        Channels(full, active.size(1), out.size(1))
        for full, active, out in zip(backbone.feature_channels, expected, found, strict=True)
    ]
    found = [out[:, : c.active] for out, c in zip(found, channels, strict=True)]
    fix = (
        f'at width {width:g} silent channels change a statistic of GroupNorm or ConvWS: publish '
        'a width at which every layer keeps the same share of its channels'
    )
    require_equal(found, expected, fix)
    return options, narrow, channels


def smallest_options(dense: Any) -> dict[str, int]:
    """Return options of the smallest mmdet ResNet or ResNeXt that a dense sub-network fits into.

    Args:
        dense: What ``extract_subnet`` gave; its own options are still the full network's.
    """
    blocks = [
        (stage, block)
        for stage, layer in enumerate(dense.res_layers)
        for block in dense.get_submodule(layer)
    ]
    groups = max(block.conv2.groups for _, block in blocks)
    expansion, base = dense.block.expansion, 1
    for stage, block in blocks:
        convs = [getattr(block, f'conv{n}', None) for n in (1, 2, 3)]
        *middle, last = (conv.out_channels for conv in convs if conv is not None)
        # In groups, the middle follows from their number and size.
        planes = max([ceil(last / expansion), *(middle if groups == 1 else [])])
        base = max(base, ceil(planes / 2**stage))
    if dense.deep_stem:
        *halves, stem = (m.out_channels for m in dense.stem.modules() if isinstance(m, nn.Conv2d))
        stem = max(stem, *(2 * half for half in halves))
    else:
        stem = dense.conv1.out_channels
    projects = dense.layer1[0].downsample is not None
    if not projects:  # the stem enters the first sum as it is
        base = max(base, ceil(stem / expansion))
    while groups > 1 and not _has_groups_of(base, dense, blocks):
        base += 1  # ends at the full network's, which has them
    if not projects:
        stem = base * expansion
    elif stem == base * expansion and dense.strides[0] == 1:
        stem += 2  # mmdet would leave out the projection that the sub-network has
    options = {'base_channels': base, 'stem_channels': stem}
    return options | ({'groups': groups} if hasattr(dense, 'groups') else {})


def _has_groups_of(base: int, dense: Any, blocks: Sequence[tuple[int, Any]]) -> bool:
    """Return whether mmdet's ResNeXt has groups of the same sizes at these ``base_channels``.

    It computes them in floating point and rounds down, so that 4 channels may become 3.
    """
    return all(
        floor(base * 2**stage * (dense.base_width / base)) == block.conv2.weight.size(1)
        for stage, block in blocks
    )


def build_stock(cfg: Config) -> Any:
    """Build the detector of a stock config, in evaluation mode on the CPU.

    Raises:
        ConfigError: If any of its modules is of this package after all.
    """
    detector = build_model(cfg.model, cfg.get('default_scope', 'mmdet'))
    require_stock(detector)
    return detector


def require_stock(network: nn.Module) -> None:
    """Raise if any module of a network is of this package.

    Raises:
        ConfigError: With its name and class.
    """
    for name, module in network.named_modules():
        if any(kind.__module__.split('.')[0] == PACKAGE for kind in type(module).__mro__):
            raise ConfigError(
                f'{name or "the network"} is a {type(module).__name__}, which needs {PACKAGE}: '
                'give the config of the stock network by --config, or try --to backbone or onnx'
            )


def _narrow_neck(model: Any, channels: Sequence[Channels]) -> None:
    """Tell the neck of a model config how many channels it gets."""
    neck = model.get('neck')
    first = neck[0] if isinstance(neck, (list, tuple)) and neck else neck
    declared = (first or {}).get('in_channels')
    listed = list(declared) if isinstance(declared, (list, tuple)) else [declared]
    full, narrow = [c.full for c in channels], [c.narrow for c in channels]
    if listed != full:
        raise ConfigError(
            f'model.neck.in_channels={declared!r} are not the outputs of the backbone, expected '
            f'{full}: {BACKBONE_ONLY}'
        )
    first['in_channels'] = narrow if isinstance(declared, (list, tuple)) else narrow[0]


def _fitted(key: str, weight: Tensor, shape: torch.Size, channels: Sequence[Channels]) -> Tensor:
    """Return a weight (C_out, C_in, ...) of the parent as the narrow detector has it.

    Layers that read the backbone's outputs keep their weights of active inputs; those of silent
    ones are zero.
    """
    if weight.shape == shape:
        return weight
    by_size = {(c.full, c.narrow): c.active for c in channels}
    active = by_size.get((weight.size(1), shape[1])) if weight.dim() > 1 else None
    if active is None or (weight.shape[0], *weight.shape[2:]) != (shape[0], *shape[2:]):
        raise ConfigError(
            f'{key} changes from {tuple(weight.shape)} to {tuple(shape)} with the width of the '
            f'backbone, expected a layer that reads its outputs: {BACKBONE_ONLY}'
        )
    return _silenced(key, weight[:, :active], shape)


def _silenced(key: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """Return a tensor with silent channels up to another shape."""
    # They are zero whatever their variance; one is what mmdet starts from.
    silenced = tensor.new_full(shape, 1.0 if key.endswith('running_var') else 0.0)
    silenced[tuple(slice(size) for size in tensor.shape)] = tensor
    return silenced


def require_equal(
    found: Sequence[Tensor], expected: Sequence[Tensor], fix: str, tolerance: float = 1e-4
) -> None:
    """Raise unless each map differs by at most a share of its largest entry.

    Convolutions of other shapes add in another order, so equal networks differ a little.

    Raises:
        ConfigError: With the largest difference and the fix.
    """
    error = float('inf')
    if [out.shape for out in found] == [out.shape for out in expected]:
        errors = [(a - b).abs().max() / b.abs().max() for a, b in zip(found, expected, strict=True)]
        error = float(torch.stack(errors).max())
    if not error <= tolerance:
        raise ConfigError(
            f'features of the published network differ by {error:.1e} from those of the trained '
            f'one, expected at most {tolerance}: {fix}'
        )
