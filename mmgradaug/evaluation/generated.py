"""Random images with labels that fit a detector, whatever its heads are."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.structures import InstanceData
from torch import Tensor, nn


def generated_batch(
    model: nn.Module,
    size: tuple[int, int],
    images: int = 2,
    objects: int = 3,
    channels: int = 3,
) -> dict[str, Any]:
    """Random images with boxes, masks, semantic maps and proposals, as a data loader gives them.

    Args:
        model: The detector, whose heads know how many classes there are.
        size: Height and width of the images in pixels.
        images: Images in the batch.
        objects: Objects in each, at least two.
        channels: Of the images.
    """
    classes = _num_classes(model)
    data = demo_mm_inputs(
        images,
        [(channels, *size)] * images,
        num_items=[objects] * images,
        num_classes=2,  # labels follow
        with_mask=True,
        with_semantic=True,
    )
    for index, sample in enumerate(data['data_samples']):
        # Evenly from the first class to the last.
        count = len(sample.gt_instances)
        sample.gt_instances.labels = (
            (torch.arange(count) + index) % count * (classes - 1) // (count - 1)
        )
        sample.gt_sem_seg.sem_seg = _stripes(size, _num_semantic_classes(model, classes))
        if not getattr(model, 'with_rpn', True):
            sample.proposals = _proposals(sample.gt_instances.bboxes, size)
    return data


def _num_classes(model: nn.Module) -> int:
    """The fewest classes that any head knows."""
    heads = [m for name, m in model.named_modules() if not name.endswith('rpn_head')]
    counts = [getattr(head, 'num_classes', None) for head in heads]
    return min((c for c in counts if isinstance(c, int) and c > 0), default=2)


def _num_semantic_classes(model: nn.Module, default: int) -> int:
    """The classes of a semantic or panoptic map."""
    for name, head in model.named_modules():
        if hasattr(head, 'num_stuff_classes'):  # a map of things and stuff
            return int(head.num_things_classes + head.num_stuff_classes)
        if name.endswith('semantic_head'):
            return int(head.num_classes)
    return default


def _stripes(size: tuple[int, int], classes: int, stripes: int = 6) -> Tensor:
    """A label map (1, H, W) of vertical stripes, evenly from the first class to the last."""
    columns = torch.arange(size[1]) * stripes // size[1]
    return (columns * (classes - 1) // (stripes - 1)).expand(1, *size).contiguous()


def _proposals(boxes: Tensor, size: tuple[int, int]) -> InstanceData:
    """Boxes around the objects, for detectors that get proposals with the data."""
    height, width = size
    shifts = torch.tensor([[0.0, 0, 0, 0], [-8, -8, 8, 8], [4, 4, 12, 12], [30, 10, 50, 40]])
    moved = (boxes[:, None] + shifts).reshape(-1, 4)
    moved[:, 0::2].clamp_(0, width)
    moved[:, 1::2].clamp_(0, height)
    return InstanceData(bboxes=moved, scores=torch.ones(len(moved)))
