"""What a data preprocessor made of pixels, so that pictures show them in their true colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import TRANSFORMS
from torch import Tensor, nn

from ..type_names import class_of


def statistics_of(preprocessor: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by which images were normalised: 0 and 1 without any."""
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    if mean is None or std is None:
        return torch.zeros(1), torch.ones(1)
    return mean.flatten(), std.flatten()


def network_sees_bgr(preprocessor: Mapping[str, Any], dataset: Any) -> bool:
    """Whether the channels that a network gets are blue, green, red.

    mmcv's loaders give BGR, and either option of ``DetDataPreprocessor`` swaps the channels,
    whatever its name says. Where transforms from elsewhere may have turned them to RGB before,
    ``rgb_to_bgr`` is believed.

    Args:
        preprocessor: Config of the data preprocessor.
        dataset: Config of the data set, which may be in wrappers.
    """
    if preprocessor.get('rgb_to_bgr'):
        return not _loads_bgr(_pipeline(dataset))
    return not preprocessor.get('bgr_to_rgb')


def _loads_bgr(pipeline: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every transform is mmcv's or mmdet's, none of which leaves RGB behind."""
    classes = [class_of(transform.get('type'), TRANSFORMS) for transform in pipeline]
    return all(getattr(c, '__module__', '').split('.')[0] in ('mmcv', 'mmdet') for c in classes)


def _pipeline(dataset: Any) -> list[Mapping[str, Any]]:
    """All transforms of a data set and of those it wraps."""
    if isinstance(dataset, (list, tuple)):
        return [transform for entry in dataset for transform in _pipeline(entry)]
    if not isinstance(dataset, Mapping):
        return []
    inner = [*_pipeline(dataset.get('dataset')), *_pipeline(dataset.get('datasets'))]
    return inner + list(dataset.get('pipeline') or ())
