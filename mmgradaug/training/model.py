"""Gives an mmengine model the GradAug training step."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.dist import broadcast_object_list, get_world_size, is_distributed
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS
from torch import Tensor

from ..errors import ConfigError, listed
from ..slimmable import has_slimmable_layers, skippable_blocks
from ..transforms import GeometricMap
from .ddp import require_usable_norms
from .sampler import GradAugOptions, Subnet, SubnetSampler
from .step import gradaug_step

WRAP = (
    "set model_wrapper_cfg=dict(type='GradAugDistributedDataParallel') in the config "
    '(tools/train.py does), or gradaug.num_subnets=0 for plain training'
)


class GradAugMixin:
    """The training step and forward modes of GradAug; put before an mmengine ``BaseModel``.

    A subclass calls :meth:`set_options` when its layers are there, and implements
    :meth:`recording`, :meth:`clear` and :meth:`subnet_loss`.
    """

    recording: Callable[[], Any]  # context of the full pass: keeps what sub-networks learn from
    clear: Callable[[], None]  # drops that
    # The losses of the active sub-network on transformed images (N, C, H, W).
    subnet_loss: Callable[[Tensor, Any, GeometricMap | None], dict[str, Tensor]]
    gradaug: GradAugOptions  # of the training step
    gradaug_iteration = -1  # of the current step
    _hub_iteration: int | None = None
    data_preprocessor: Any  # the stock model's
    training: bool

    @property
    def sampler(self) -> SubnetSampler:
        """Draws the sub-networks of each iteration."""
        return self.gradaug.sampler

    def set_options(self, gradaug: Mapping[str, Any] | None) -> None:
        """Read the config key ``gradaug``; raise a ConfigError if this network cannot do it."""
        self.gradaug = GradAugOptions.parse(gradaug)
        self._shared_seed: Any = self.gradaug.seed  # None until a step asks for the runner's
        if self.sampler.num_subnets:
            # oneDNN builds a kernel for every new shape of a convolution, and keeps 1,024: too few
            # for several widths and scales. It reads this before the first convolution.
            os.environ.setdefault('ONEDNN_PRIMITIVE_CACHE_CAPACITY', '8192')
            model: Any = self
            require_usable_norms(model)
            if self.sampler.min_width < 1 and not has_slimmable_layers(model):
                kind = type(model.backbone).__name__
                slim = f'Slimmable{kind}'
                slim = slim if slim in MODELS.module_dict else 'SlimmableResNet'
                raise ConfigError(
                    f'gradaug.min_width={self.sampler.min_width} needs a slimmable backbone, got '
                    f'{kind}: set backbone type={slim!r} (Res2Net, ResNeSt, RegNet and others '
                    'cannot be sliced), or gradaug.min_width=1.0 to train full-width copies only'
                )
            if self.sampler.shrink != 'width' and not skippable_blocks(model):
                raise ConfigError(
                    f'gradaug.shrink={self.sampler.shrink!r} needs a backbone whose residual '
                    f'blocks can be left out, got {type(model.backbone).__name__}: set backbone '
                    "type='SlimmableDepthResNet', or gradaug.shrink='width'"
                )

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """Train on a batch by :func:`gradaug_step`, or without sub-networks as the stock model."""
        if not self.sampler.num_subnets:
            return super().train_step(data, optim_wrapper)  # type: ignore[misc]
        if get_world_size() > 1:
            raise ConfigError(f'each process would train on its own, or reduce every pass: {WRAP}')
        return gradaug_step(self, data, optim_wrapper)  # type: ignore[arg-type]

    def forward(
        self,
        inputs: Tensor,
        data_samples: Any = None,
        mode: str = 'tensor',
        mapping: GeometricMap | None = None,
        **others: Any,
    ) -> Any:
        """Forward in one of the stock modes, or in a mode of the training step.

        Args:
            inputs: Normalised images (N, C, H, W).
            data_samples: Labels of the original images.
            mode: ``'full'``: the stock losses, keeping what sub-networks learn from;
                ``'subnet'``: a sub-network's losses on transformed images; or a stock mode.
            mapping: Where the transform moved things, in mode ``'subnet'``.
            **others: What a model's own forward takes besides, in stock modes and without
                sub-networks; no transform moves it.
        """
        if others and mode in ('full', 'subnet'):
            raise ConfigError(
                f'sub-networks have no {listed(others)} beside images and data_samples: put it '
                'into data_samples, or set gradaug.num_subnets=0'
            )
        if mode == 'full':
            with self.recording():
                return super().forward(inputs, data_samples, mode='loss')  # type: ignore[misc]
        if mode == 'subnet':
            return self.subnet_loss(inputs, data_samples, mapping)
        if mode == 'loss' and self.training and self.sampler.num_subnets and is_distributed():
            raise ConfigError(
                f'this wrapper computes the plain loss and would train without sub-networks: {WRAP}'
            )
        return super().forward(inputs, data_samples, mode=mode, **others)  # type: ignore[misc]

    def sample_subnets(self) -> list[Subnet]:
        """Draw the sub-networks of the next step.

        The iteration is the runner's, which a resume restores; where no runner counts, the
        steps are counted here.
        """
        hub = MessageHub.get_current_instance()
        length, iteration = hub.get_info('max_iters'), hub.get_info('iter')
        if iteration is None or iteration == self._hub_iteration:
            # No runner, or one that stands still: left behind, and not driving this step.
            self.gradaug_iteration += 1
            length = None
        else:
            self.gradaug_iteration = iteration
        self._hub_iteration = iteration
        if self._shared_seed is None:
            seeds = [hub.get_info('seed', 0)]
            broadcast_object_list(seeds)
            self._shared_seed = seeds[0]  # the same everywhere, unlike with `diff_rank_seed`
        return self.sampler.sample(self._shared_seed, self.gradaug_iteration, length)

    def pad_divisor(self, size: tuple[int, int]) -> int:
        """Return what the sides of a batch of images of a size (H, W) are padded to multiples of.

        It is the data preprocessor's ``pad_size_divisor``, or 32 where the data pipeline pads
        instead, as RTMDet's does: many necks need that.
        """
        divisor = getattr(self.data_preprocessor, 'pad_size_divisor', 1)
        by_pipeline = hasattr(self, 'neck') and not any(side % 32 for side in size)
        return 32 if divisor == 1 and by_pipeline else divisor

    def pad_images(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Pad transformed images (N, C, H, W) right and bottom as their batch, of a size, was.

        Narrow images become a strip of cells.
        """
        divisor = self.pad_divisor(size)
        right, bottom = (-length % divisor for length in (images.size(-1), images.size(-2)))
        if not right and not bottom:
            return images
        value = getattr(self.data_preprocessor, 'pad_value', 0)
        return F.pad(images, (0, right, 0, bottom), value=value)
