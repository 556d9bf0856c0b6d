"""What runs badly, or not at all, on the GPUs of this machine."""

from __future__ import annotations

from typing import Any

from mmcv.ops import get_compiling_cuda_version
from mmengine.config import Config
from mmengine.device import get_device

from ..errors import warn


def warn_of_missing_cuda_ops() -> None:
    """Warn if a model would go to a GPU for which mmcv has no operations."""
    if get_device() == 'cuda' and get_compiling_cuda_version() == 'not available':
        warn(
            'there is a GPU, but mmcv was compiled for the CPU: RoIAlign, NMS and deformable '
            'convolutions will fail on it. Run `make setup` where GPU and CUDA toolkit are seen '
            '(`make doctor` tells), or hide the GPU: CUDA_VISIBLE_DEVICES= in front of the command'
        )


def warn_of_tuning(cfg: Config, model: Any) -> None:
    """Warn if cuDNN would try out algorithms for the shapes of every new width.

    Args:
        cfg: The run's config.
        model: Its model.
    """
    sampler = getattr(model, 'sampler', None)
    if sampler is None or not (cfg.get('env_cfg') or {}).get('cudnn_benchmark'):
        return
    drawn = sampler.num_subnets - sampler.force_min_width
    if drawn > 0 and sampler.width_step is None and sampler.min_width < 1:
        warn(
            'env_cfg.cudnn_benchmark=True tunes every convolution anew for each shape, and '
            'sub-networks of any width have new ones in every iteration: set it to False, or '
            'draw from few widths (gradaug.width_step=0.025)'
        )
