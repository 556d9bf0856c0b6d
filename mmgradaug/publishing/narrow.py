"""A detector's sub-network as a stock mmdet detector of its own.

mmdet's ResNet has ``base_channels * 2**i`` channels in stage i, while a sub-network rounds every
layer by itself: ResNet-50 at 0.9 keeps 57, 115, 230 and 460 of 64, 128, 256 and 512, so it takes
``base_channels=58``. The smallest ResNet that every layer fits into computes the same function,
with its few additional channels silent: their weights, scales and shifts are zero. They stay
silent in further training too, since their gradients are zero.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import torch
from mmdet.models.backbones import ResNet
from mmengine.config import Config
from torch import Tensor, nn

from ..engine.cli import warn
from ..errors import ConfigError
from ..slimmable import extract_subnet
from .key_maps import load_strictly
from .source import build_model
from .stock_config import PACKAGE, stock_config


class Channels(NamedTuple):
    """Channels of an output: the parent's, those of the sub-network, and with silent ones."""

    full: int
    active: int
    narrow: int


def narrow_detector(model: Any, cfg: Config, width: float) -> tuple[Config, Any]:
    """Return the sub-network of a detector as a stock detector.

    Args:
        model: A detector in evaluation mode, BatchNorm recalibrated at the width; not changed.
        cfg: Its config.
        width: Share of the backbone's channels, in (0, 1].

    Returns:
        The stock config and the stock detector in evaluation mode, whose detections are those of
        ``model`` inside ``at_width(model, width)``, on its device.

    Raises:
        ConfigError: If the backbone is not slimmable, or what reads its outputs does not say so
            by ``neck.in_channels``.
    """
    stock = stock_config(cfg)
    options, backbone, channels = narrow_backbone(model.backbone, stock.model.backbone, width)
    stock.model.backbone = options
    _narrow_neck(stock.model, channels)
    narrow = build_stock(stock)
    source = model.state_dict() | {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    target = narrow.state_dict()
    # Layers that read the backbone's outputs keep their weights of active inputs.
    active = {(c.full, c.narrow): c.active for c in channels}
    for key in source.keys() & target.keys():
        tensor, shape = source[key], target[key].shape
        reads = tensor.shape[:1] == shape[:1] and tensor.shape[1:2] + shape[1:2] in active
        if tensor.shape != shape and reads:
            source[key] = _silenced(key, tensor[:, : active[tensor.size(1), shape[1]]], shape)
    fix = 'Where layers inside a neck follow its in_channels, publish the backbone (--to backbone)'
    load_strictly(narrow, source, 'the trained detector', fix=fix)
    return stock, narrow.to(next(model.parameters()).device)


def narrow_backbone(
    backbone: Any, options: Mapping[str, Any], width: float
) -> tuple[dict[str, Any], Any, list[Channels]]:
    """Return the sub-network of a slimmable backbone as a stock mmdet ResNet.

    Returns:
        From the stock config of the slimmable backbone (``options``) the narrow one's, that in
        evaluation mode on the CPU, and the channels of its outputs.

    Raises:
        ConfigError: If it is no ResNet, or silent channels change statistics over several ones.
    """
    dense: Any = extract_subnet(backbone, width).cpu()
    if not isinstance(dense, ResNet):
        raise ConfigError(
            f'{type(dense).__name__} has no narrow stock network, expected a ResNet: --to onnx '
            'takes a classifier with any backbone'
        )
    dense.eval()
    options = smallest_stock(dense, options)
    narrow = build_model(options).to(next(dense.parameters()))
    state = dense.state_dict()
    narrow.load_state_dict(
        {key: _silenced(key, state[key], t.shape) for key, t in narrow.state_dict().items()}
    )
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


def smallest_stock(dense: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the smallest mmdet ResNet that a dense sub-network fits into.

    ``dense`` is what ``extract_subnet`` gave, ``options`` the full network's config.
    """
    options = dict(options)
    blocks = [dense.get_submodule(name)[-1] for name in dense.res_layers]
    norms = [m.num_groups for m in dense.modules() if isinstance(m, nn.GroupNorm)]
    if norms:
        options['norm_cfg'] = {**options['norm_cfg'], 'num_groups': norms[0]}
    if hasattr(dense, 'groups'):
        options['groups'] = max(block.conv2.groups for block in blocks)
    least = 1
    for stage, block in enumerate(blocks):
        planes = ceil(getattr(block, 'conv3', block.conv2).out_channels / dense.block.expansion)
        if options.get('groups', 1) == 1:  # else the middle follows from their number and size
            planes = max(planes, block.conv2.out_channels)
        least = max(least, ceil(planes / 2**stage))
    first = dense.stem if dense.deep_stem else dense.conv1
    *halves, stem = (m.out_channels for m in first.modules() if isinstance(m, nn.Conv2d))
    stem = max(stem, *(2 * half for half in halves), 1)
    for base in range(least, max(least, dense.base_channels) + 1):
        # mmdet projects a stem of other channels than the first block's, and no other.
        for stem_channels in (stem, stem + 2, base * dense.block.expansion):
            found = {**options, 'base_channels': base, 'stem_channels': stem_channels}
            with torch.device('meta'):
                if _fits(dense, build_model(found)):
                    if least < base == dense.base_channels:  # plugins have channels of their own
                        warn('no smaller network of mmdet than the full one has these layers')
                    return found
    raise ConfigError(
        f'no {type(dense).__name__} of mmdet computes what this sub-network does: leave out --width'
    )


def _fits(dense: nn.Module, network: nn.Module) -> bool:
    """Return whether each layer fits, and groups have their size.

    mmdet computes that of a ResNeXt in floating point and rounds down, so 4 may become 3.
    """
    small, large = dense.state_dict(), network.state_dict()
    sizes = [(small[key].shape, large[key].shape) for key in small.keys() & large.keys()]
    grouped = [f'{n}.weight' for n, m in dense.named_modules() if getattr(m, 'groups', 1) > 1]
    return (
        small.keys() == large.keys()
        and all(a <= b for pair in sizes for a, b in zip(*pair, strict=True))
        and all(small[key].size(1) == large[key].size(1) for key in grouped if key in small)
    )


def build_stock(cfg: Config) -> Any:
    """Build the detector of a stock config, in evaluation mode on the CPU."""
    detector = build_model(cfg.model, cfg.get('default_scope') or 'mmdet')
    require_stock(detector)
    return detector


def require_stock(network: nn.Module) -> None:
    """Raise a ConfigError if any module of a network is of this package."""
    for name, module in network.named_modules():
        if any(kind.__module__.split('.')[0] == PACKAGE for kind in type(module).__mro__):
            raise ConfigError(
                f'{name or "the network"} is a {type(module).__name__}, which needs {PACKAGE}: '
                'give the config of the stock network by --config, or try --to backbone or onnx'
            )


def _narrow_neck(model: Any, channels: Sequence[Channels]) -> None:
    """Tell the neck of a model config how many channels it gets."""
    neck = model.get('neck') or {}
    first = neck[0] if isinstance(neck, (list, tuple)) else neck
    declared: Any = first.get('in_channels')
    is_list = isinstance(declared, (list, tuple))
    full, narrow = [c.full for c in channels], [c.narrow for c in channels]
    if (list(declared) if is_list else [declared]) != full:
        raise ConfigError(
            f'model.neck.in_channels={declared!r} are not the outputs of the backbone, expected '
            f'{full}: publish the backbone alone (--to backbone --width W)'
        )
    first['in_channels'] = narrow if is_list else narrow[0]


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
