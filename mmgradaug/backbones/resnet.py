"""ResNet whose first channels of every layer form a sub-network (GradAug, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmdet.models.backbones import ResNet, ResNetV1d
from mmdet.models.backbones.resnet import BasicBlock, Bottleneck
from mmengine.registry import MODELS
from torch import nn

from ..slimmable import SlimConv
from .deformable import deform_blocks
from .mixin import SlimmableMixin
from .plugins import slim_plugins
from .regularisers import DropBlock, branch_regularisers


def _followed(name: str) -> property:
    """Return the property of a normalisation, with what follows it."""

    def norm(block: Any) -> nn.Module:
        own, after = getattr(super(_RegularisedBlock, block), name), f'after_{name}'
        return nn.Sequential(own, getattr(block, after)) if hasattr(block, after) else own

    return property(norm)


class _RegularisedBlock(nn.Module if TYPE_CHECKING else object):  # type: ignore[misc]
    """Modules that follow the normalisations of one of mmdet's blocks; put before the block.

    mmdet's forward asks for ``norm1`` and so on, and gets each with ``after_norm1`` and so on
    behind it. So none of its lines is written again, and keys stay what they are.
    """

    norm1, norm2, norm3 = map(_followed, ('norm1', 'norm2', 'norm3'))


class SlimmableResNetMixin(SlimmableMixin, ResNet if TYPE_CHECKING else object):  # type: ignore
    """What every slimmable variant of an mmdet ResNet shares; put before the ResNet."""

    takes_groups = True

    def __init__(
        self,
        *args: Any,
        dcn: Any = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        plugins: Any = None,
        regulariser: Any = None,
        **kwargs: Any,
    ) -> None:
        if plugins is not None:
            kwargs['plugins'] = slim_plugins(plugins)
        self.is_regularised = regulariser is not None
        super().__init__(*args, **kwargs)
        stages = [getattr(self, name) for name in self.res_layers]
        if dcn is not None:
            assert len(stage_with_dcn) == self.num_stages
            deform_blocks(stages, dcn, stage_with_dcn)
            self.dcn, self.stage_with_dcn = dcn, stage_with_dcn
            self._freeze_stages()
        if regulariser is not None:
            _regularise(stages, regulariser)

    def make_res_layer(self, block: type[nn.Module], **kwargs: Any) -> nn.Sequential:
        """Make a stage as mmdet does, of blocks that can be regularised if it is asked for."""
        if self.is_regularised:
            block = type(f'Regularised{block.__name__}', (_RegularisedBlock, block), {})
        return super().make_res_layer(block=block, **kwargs)

    def _set_rounding(self) -> None:
        """Round the stem and the middle of bottlenecks as a quarter of the block's output.

        A network of BasicBlocks keeps the plain rule everywhere. So does a stem that enters
        the first residual sum without a projection, since both must be equally wide.
        """
        if self.block is BasicBlock:
            return
        for name, module in self.named_modules():
            if isinstance(module, Bottleneck):
                module.conv1.bottleneck_rounding = module.conv2.bottleneck_rounding = True
            elif isinstance(module, SlimConv) and not name.startswith('layer'):
                module.bottleneck_rounding = self.layer1[0].downsample is not None

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the stages in ``out_indices``."""
        return tuple(
            self.base_channels * 2**stage * self.block.expansion
            for stage in range(self.num_stages)
            if stage in self.out_indices
        )

    @property
    def out_channels(self) -> int:  # type: ignore[override]
        """Channels of the last map."""
        return self.feature_channels[-1]

    def train(self, mode: bool = True) -> SlimmableResNetMixin:
        """Set the mode as mmdet's ResNet does, and return the network as torch's modules do."""
        super().train(mode)
        return self


@MODELS.register_module()
class SlimmableResNet(SlimmableResNetMixin, ResNet):
    """mmdet's ``ResNet`` with slimmable layers.

    Outside :func:`mmgradaug.at_width` it is mmdet's ``ResNet`` bit by bit, and its state
    dict has the same keys and shapes, so either replaces the other in a config by its name.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        width_divisor (int): Sub-networks keep multiples of this many channels. 1 is the
            paper's rule; 8 or 16 suit kernels that want aligned channels.
        dcn (dict): Deformable convolutions, ``dict(type='DCN')`` or ``dict(type='DCNv2')``, in the
            stages of ``stage_with_dcn``; None is ordinary ones. See
            :func:`~mmgradaug.backbones.deformable.deform_blocks`.
        plugins (list[dict]): ``ContextBlock``, ``GeneralizedAttention``, ``NonLocal2d``.
        regulariser (dict): What acts inside residual blocks in training; None is nothing. One of
            :func:`~mmgradaug.backbones.regularisers.branch_regularisers`, or after every
            normalisation of a block and on its shortcut ``dict(type='DropBlock', drop=(0, 0,
            0.025, 0.1), block_size=7, ramp=True)``, with the share of values to drop for each
            stage; see :class:`~mmgradaug.backbones.regularisers.DropBlock`.
        **kwargs: As mmdet's ``ResNet``, with ``conv_cfg`` Conv2d or ConvWS and ``norm_cfg`` BN,
            SyncBN or GN.

    Raises:
        ConfigError: If an option asks for a layer that cannot be sliced.
    """

    stock_cls = ResNet


@MODELS.register_module()
class SlimmableResNetV1d(SlimmableResNetMixin, ResNetV1d):
    """mmdet's ``ResNetV1d`` (deep stem, average-pooled shortcuts) with slimmable layers.

    Args and errors as :class:`SlimmableResNet`.
    """

    stock_cls = ResNetV1d


def _regularise(stages: list[Any], cfg: Mapping[str, Any]) -> None:
    """Put a regulariser into the blocks of all stages."""
    options = dict(cfg)
    if options.pop('type') != 'DropBlock':
        blocks = [block for stage in stages for block in stage]
        branches = branch_regularisers(cfg, [len(stage) for stage in stages])
        for block, regulariser in zip(blocks, branches, strict=True):
            last = 3 if isinstance(block, Bottleneck) else 2
            block.add_module(f'after_norm{last}', regulariser)
        return
    for stage, drop in zip(stages, options.pop('drop'), strict=True):
        for block in stage if drop else ():
            for index in (1, 2, 3) if isinstance(block, Bottleneck) else (1, 2):
                block.add_module(f'after_norm{index}', DropBlock(drop, **options))
            block.downsample = nn.Sequential(*(block.downsample or ()), DropBlock(drop, **options))
