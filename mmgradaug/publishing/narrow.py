"""A detector's sub-network as a stock mmdet detector of its own.

The smallest mmdet ResNet that every layer fits into computes the same function, with its few
additional channels silent: their weights, scales and shifts are zero. They stay silent in further
training too, since their gradients are zero.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmdet.models.backbones.resnet import ResNet
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ..backbones.deformable import deformable_layers
from ..backbones.image_channels import image_channels
from ..backbones.resnet import without_regularisers
from ..checkpoints.safe_loading import safe_loading
from ..slimmable import at_width, extract_subnet, has_slimmable_layers
from .smallest_stock import out_channels, smallest_options
from .stock_config import PACKAGE, stock_config

BACKBONE_ONLY = 'publish the backbone alone (--to backbone --width W)'
TOLERANCE = 1e-4  # of the largest feature; convolutions of other shapes add in another order


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
    """The sub-network of a detector as a stock detector.

    Args:
        model: A detector with a slimmable backbone; its BatchNorm statistics should have been
            recalibrated at the width. It is not changed.
        cfg: Its config.
        width: Share of the backbone's channels, in (0, 1].

    Returns:
        The stock config and the stock detector in evaluation mode, whose detections are those of
        ``model`` inside ``at_width(model, width)``, on its device.

    Raises:
        ValueError: If the backbone is not slimmable, or what reads its outputs does not say so
            by ``neck.in_channels``.
    """
    if not has_slimmable_layers(model):
        raise ValueError(
            f'{type(model).__name__} has no slimmable backbone, expected SlimmableResNet: a narrow '
            'detector can be cut out of a GradAug run only; leave out --width'
        )
    stock = stock_config(cfg)
    options, backbone, channels = narrow_backbone(model.backbone, stock.model.backbone, width)
    stock.model.backbone = options
    _narrow_neck(stock.model, channels)
    narrow = build_stock(stock)
    narrow.load_state_dict(_narrow_state(model, backbone, narrow, channels))
    check_features(model, width, narrow, image_channels(options))
    return stock, narrow


def narrow_backbone(
    backbone: Any, options: Mapping[str, Any], width: float
) -> tuple[dict[str, Any], ResNet, list[Channels]]:
    """The sub-network of a slimmable backbone as a stock mmdet ResNet, in evaluation mode.

    Args:
        backbone: A slimmable backbone; it is not changed.
        options: Its stock config.
        width: Share of the channels, in (0, 1].

    Returns:
        The narrow backbone's config, the backbone, and the channels of its outputs.

    Raises:
        ValueError: If it has plugins, deformable convolutions in groups, or statistics over
            several channels that silent ones would change.
    """
    if options.get('plugins'):
        raise ValueError(
            f'model.backbone.plugins={options["plugins"]!r} have channels of their own, which in a '
            'narrow stock network would be fewer: leave out --width'
        )
    dense: Any = without_regularisers(extract_subnet(backbone, width))
    if width < 1 and any(layer.deform_groups > 1 for _, layer in deformable_layers(dense)):
        raise ValueError(
            f'model.backbone.dcn={options["dcn"]!r} shares offsets among groups of the full '
            "network's channels, which in a narrow stock network would be other channels: publish "
            'it without --width, or evaluate it with --widths 1.0'
        )
    options = {**options, **smallest_options(dense), **_group_options(dense, options)}
    narrow = MODELS.build(copy.deepcopy(options))  # mmdet changes its dcn
    narrow.eval()  # returns nothing, in mmdet's ResNet
    _check_statistics(dense, narrow, width)
    state = dense.state_dict()
    narrow.load_state_dict(
        {key: _silenced(key, state[key], t.shape) for key, t in narrow.state_dict().items()}
    )
    sizes = zip(backbone.feature_channels, out_channels(dense), out_channels(narrow), strict=True)
    return options, narrow, [Channels(*size) for size in sizes]


def _group_options(dense: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """How many groups are left to GroupNorm, whose groups keep their size."""
    groups = [m.num_groups for m in dense.modules() if isinstance(m, nn.GroupNorm)]
    return {'norm_cfg': {**options['norm_cfg'], 'num_groups': groups[0]}} if groups else {}


def _check_statistics(dense: nn.Module, narrow: nn.Module, width: float) -> None:
    """Raise if silent channels would enter a statistic."""
    layers = dict(narrow.named_modules())
    for name, layer in dense.named_modules():
        found: Any = layers[name]
        if isinstance(layer, nn.GroupNorm):
            same = (layer.num_groups, layer.num_channels) == (found.num_groups, found.num_channels)
        else:
            same = not isinstance(layer, ConvWS2d) or layer.weight.shape == found.weight.shape
        if not same:
            raise ValueError(
                f'width {width} gives {layer} as {name} and the closest stock ResNet {found}, '
                'whose silent channels would change its statistics: publish a width at which '
                'every layer keeps the same share of its channels (with GroupNorm of G groups a '
                'multiple of 1 / G, and width_divisor=1)'
            )


def build_stock(cfg: Config) -> Any:
    """The detector of a stock config, in evaluation mode on the CPU.

    Raises:
        ValueError: If any of its modules is of this package after all.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with safe_loading():  # of a teacher
        detector = MODELS.build(copy.deepcopy(cfg.model))
    own = [n for n, m in detector.named_modules() if type(m).__module__.split('.')[0] == PACKAGE]
    if own:
        raise ValueError(f'{own[0]} of the stock config is still a module of {PACKAGE}')
    return detector.eval()


def _narrow_neck(model: Any, channels: Sequence[Channels]) -> None:
    """Tell the neck of a model config how many channels it gets."""
    neck = model.get('neck')
    first = neck[0] if isinstance(neck, (list, tuple)) and neck else neck
    declared = (first or {}).get('in_channels')
    listed = list(declared) if isinstance(declared, (list, tuple)) else [declared]
    if listed != [c.full for c in channels]:
        raise ValueError(
            f'model.neck.in_channels={declared!r} are not the outputs of the backbone, expected '
            f'{[c.full for c in channels]}: {BACKBONE_ONLY}'
        )
    narrow = [c.narrow for c in channels]
    first['in_channels'] = narrow if isinstance(declared, (list, tuple)) else narrow[0]


def _narrow_state(
    model: nn.Module, backbone: nn.Module, narrow: nn.Module, channels: Sequence[Channels]
) -> dict[str, Tensor]:
    """The narrow detector's state dict.

    Args:
        model: The parent detector.
        backbone: The narrow backbone.
        narrow: The narrow detector, whose shapes are taken.
        channels: Of each output of the backbone.
    """
    source = model.state_dict() | {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    target = narrow.state_dict()
    if source.keys() != target.keys():
        raise ValueError(
            f'the stock detector has other weights: {sorted(source.keys() ^ target.keys())[:3]}'
        )
    return {
        key: source[key]
        if source[key].shape == t.shape
        else _silenced(key, _active_inputs(key, source[key], t.shape, channels), t.shape)
        for key, t in target.items()
    }


def _silenced(key: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """A tensor with silent channels up to another shape."""
    # They are zero whatever their variance; one is what mmdet starts from.
    silenced = tensor.new_full(shape, 1.0 if key.endswith('running_var') else 0.0)
    silenced[tuple(slice(size) for size in tensor.shape)] = tensor
    return silenced


def _active_inputs(
    key: str, weight: Tensor, shape: torch.Size, channels: Sequence[Channels]
) -> Tensor:
    """The weights (C_out, C_active, ...) that a layer after the backbone gives to active inputs."""
    by_size = {(c.full, c.narrow): c.active for c in channels}
    active = by_size.get((weight.size(1), shape[1])) if weight.dim() > 1 else None
    if active is None or (weight.shape[0], *weight.shape[2:]) != (shape[0], *shape[2:]):
        raise ValueError(
            f'{key} changes from {tuple(weight.shape)} to {tuple(shape)} with the width of the '
            f'backbone, expected a layer that reads its outputs: {BACKBONE_ONLY}'
        )
    return weight[:, :active]


def check_features(model: Any, width: float, narrow: Any, channels: int = 3) -> float:
    """Compare the features of both detectors on a random image.

    Args:
        model: The parent detector.
        width: Share of its backbone's channels.
        narrow: The narrow detector, which moves to the parent's device.
        channels: Of the image.

    Returns:
        The largest difference, relative to the largest feature.

    Raises:
        ValueError: If it is above 1e-4.
    """
    image = torch.randn(1, channels, 128, 160, generator=torch.Generator().manual_seed(0))
    image = image.to(next(model.parameters()))
    training = model.training
    model.eval()
    narrow.to(image.device)
    # TensorFloat-32, cuDNN's default, keeps ten bits of each factor: errors of 1e-3.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False), torch.no_grad():
        with at_width(model, width):
            expected = model.extract_feat(image)
        found = narrow.extract_feat(image)
    model.train(training)
    error = max(relative_difference(a, b) for a, b in zip(found, expected, strict=True))
    if not error <= TOLERANCE:
        raise ValueError(
            f'the narrow detector differs from its parent at width {width} by {error:.1e}, '
            f'expected at most {TOLERANCE}: its detector has a layer that this cannot narrow'
        )
    return error


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of two tensors as a share of the largest entry."""
    scale = max(float(expected.abs().max()), 1e-12)
    return float((found - expected).abs().max()) / scale
