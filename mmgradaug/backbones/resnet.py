"""ResNet whose first channels of every layer form a sub-network (GradAug, section 3.1)."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmdet.models.backbones import ResNet, ResNetV1d
from mmdet.models.backbones.resnet import Bottleneck
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..slimmable import SlimBatchNorm2d, SlimConv2d, SlimSyncBatchNorm, pad_channels
from .pretrained import check_pretrained, pretrained_of

SLIM_NORMS: dict[Any, type] = {
    'BN': SlimBatchNorm2d,
    'BN2d': SlimBatchNorm2d,
    nn.BatchNorm2d: SlimBatchNorm2d,
    SlimBatchNorm2d: SlimBatchNorm2d,
    'SyncBN': SlimSyncBatchNorm,
    nn.SyncBatchNorm: SlimSyncBatchNorm,
    SlimSyncBatchNorm: SlimSyncBatchNorm,
}
# Options of ResNeXt, Res2Net, ResNeSt and RegNet, left behind where their name was replaced.
GROUPED = ('groups', 'base_width', 'scales', 'radix', 'arch')
PLAIN_CONVS = ('Conv2d', 'Conv', nn.Conv2d, SlimConv2d)


class _SlimmableMixin(ResNet if TYPE_CHECKING else object):  # type: ignore[misc]
    """What every slimmable variant of an mmdet ResNet shares; put before the ResNet."""

    dense_class: type[ResNet]  # what `extract_subnet` turns an instance into

    def __init__(
        self,
        *args: Any,
        width_divisor: int = 1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_unsliceable(conv_cfg, kwargs)
        slim = {
            'conv_cfg': {'type': SlimConv2d, 'divisor': _checked_divisor(width_divisor)},
            'norm_cfg': _slim_norm(
                {'type': 'BN', 'requires_grad': True} if norm_cfg is None else norm_cfg
            ),
        }
        with _naming_options(type(self), args, kwargs):
            super().__init__(*args, **slim, **kwargs)
        self.width_divisor = width_divisor
        self._set_quarter_rule()
        self.out_channels = [
            self.base_channels * 2**stage * self.block.expansion
            for stage in range(self.num_stages)
            if stage in self.out_indices
        ]

    def _set_quarter_rule(self) -> None:
        """Round the stem and the middle of bottlenecks as a quarter of the block's output.

        A network of BasicBlocks keeps the plain rule everywhere. So does a stem that enters
        the first residual sum without a projection, since both must be equally wide.
        """
        if self.block is not Bottleneck:
            return
        for name, module in self.named_modules():
            if isinstance(module, Bottleneck):
                module.conv1.quarter = module.conv2.quarter = True
            elif isinstance(module, SlimConv2d) and not name.startswith('layer'):
                module.quarter = self.layer1[0].downsample is not None

    def init_weights(self) -> None:
        """Initialise as mmdet's ResNet; pretrained weights that do not fit are an error.

        Raises:
            FileNotFoundError: If the pretrained file is missing.
            ValueError: If the pretrained weights do not fit this network.
        """
        pretrained = pretrained_of(self.init_cfg)
        if pretrained is not None and not self.is_init:
            check_pretrained(self, pretrained['checkpoint'], pretrained.get('prefix'))
        super().init_weights()

    def train(self, mode: bool = True) -> _SlimmableMixin:
        """Set the mode as mmdet's ResNet does, and return the network as torch's modules do."""
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the stages in ``out_indices``.

        Args:
            x: Images (N, C, H, W).

        Returns:
            One (N, C_i, H_i, W_i) a stage, C_i the full network's channels at any width: a
            sub-network's last channels are zero.
        """
        return tuple(
            pad_channels(out, channels)
            for out, channels in zip(super().forward(x), self.out_channels, strict=True)
        )


@MODELS.register_module()
class SlimmableResNet(_SlimmableMixin, ResNet):
    """mmdet's ``ResNet`` with slimmable layers.

    Outside :func:`mmgradaug.at_width` it is mmdet's ``ResNet`` bit by bit, and its state
    dict has the same keys and shapes, so either replaces the other in a config by its name.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        width_divisor (int): Sub-networks keep multiples of this many channels. 1 is the
            paper's law; 8 or 16 suit kernels that want aligned channels.
        **kwargs: As mmdet's ``ResNet``.

    Raises:
        ValueError: If an option asks for a layer that cannot be sliced (``dcn``,
            ``plugins``, ``groups``, a ``conv_cfg`` other than Conv2d, a ``norm_cfg`` other than
            BN and SyncBN).
    """

    dense_class = ResNet


@MODELS.register_module()
class SlimmableResNetV1d(_SlimmableMixin, ResNetV1d):
    """mmdet's ``ResNetV1d`` (deep stem, average-pooled shortcuts) with slimmable layers.

    Args and errors as :class:`SlimmableResNet`.
    """

    dense_class = ResNetV1d


@contextmanager
def _naming_options(
    cls: type[_SlimmableMixin], args: tuple, options: dict[str, Any]
) -> Iterator[None]:
    """Around mmdet's constructor, which speaks of a ResNet and of no config key.

    Raises:
        ValueError: With the key and value of options that it does not take.
    """
    known = dict(inspect.signature(ResNet.__init__).parameters) | {'width_divisor': None}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f'{_listed({name: options[name] for name in unknown})}: {cls.__name__} has no such '
            f'option, expected some of {", ".join(list(known)[1:])}'
        )
    options = dict(zip(list(known)[1:], args, strict=False)) | options
    depths = list(ResNet.arch_settings)
    if options.get('depth') not in depths:
        raise ValueError(
            f'model.backbone.depth={options.get("depth")!r}, expected one of {depths}, the depths '
            f'of {cls.__name__}'
        )
    try:
        yield
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError) as error:
        said = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
        raise ValueError(
            f"{_listed(options)}: mmdet's {cls.dense_class.__name__} does not take these values "
            f'together ({type(error).__name__}: {said}): correct them'
        ) from error


def _listed(options: dict[str, Any]) -> str:
    """Options with their config keys."""
    return ', '.join(f'model.backbone.{name}={value!r}' for name, value in options.items())


def _refuse_unsliceable(conv_cfg: dict | None, kwargs: dict) -> None:
    """Raise on options whose layers have no first-channels sub-network."""
    plain = isinstance(conv_cfg, Mapping) and conv_cfg.get('type') in PLAIN_CONVS
    if conv_cfg is not None and not plain:
        raise ValueError(
            f'model.backbone.conv_cfg={conv_cfg!r} cannot be sliced, expected type Conv2d: remove '
            'conv_cfg from the slimmable backbone'
        )
    for option in GROUPED:
        if option in kwargs:
            raise ValueError(
                f'model.backbone.{option}={kwargs[option]!r} belongs to ResNeXt, Res2Net, ResNeSt '
                'or RegNet, whose channels in groups cannot be sliced; start from a ResNet config, '
                'or train that backbone under its own name with gradaug.min_width=1.0'
            )
    for option in ('dcn', 'plugins'):
        if kwargs.get(option) is not None:
            raise ValueError(
                f'model.backbone.{option}={kwargs[option]!r} adds layers that cannot be sliced, '
                f'expected None: remove {option} (and its stage settings), or train this backbone '
                "with type='ResNet' and gradaug.min_width=1.0, which needs no sub-widths"
            )


def _slim_norm(norm_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A norm config with the slimmable class."""
    kind = norm_cfg.get('type') if isinstance(norm_cfg, Mapping) else None
    if not isinstance(kind, (str, type)) or kind not in SLIM_NORMS:
        raise ValueError(
            f'model.backbone.norm_cfg={norm_cfg!r} cannot be sliced, expected BN or SyncBN: '
            'channel groups and layer statistics change with the width; use '
            "norm_cfg=dict(type='BN') or 'SyncBN'"
        )
    trains = norm_cfg.get('requires_grad', True)
    if not isinstance(trains, bool):
        raise ValueError(
            f'model.backbone.norm_cfg.requires_grad={trains!r}, expected True or False: whether '
            "BatchNorm's weights are trained"
        )
    return {**norm_cfg, 'type': SLIM_NORMS[kind]}


def _checked_divisor(divisor: int) -> int:
    """Return a valid ``width_divisor``."""
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        raise ValueError(
            'model.backbone.width_divisor must be a whole number of channels >= 1, got '
            f"{divisor!r}: 1 is the paper's law, 8 or 16 give aligned channels"
        )
    return divisor
