"""Random images with labels that fit a classifier or a detector, whatever its heads are."""

from typing import Any

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from ..classification import Classifier


def random_batch(
    model: nn.Module,
    size: tuple[int, int],
    images: int = 2,
    channels: int = 3,
    objects: int = 3,
    unlabelled: float = 0.0,
) -> dict[str, Any]:
    """Return random images and labels as a data loader gives them.

    Args:
        model: A classifier, or a detector. A detector gets boxes of all its classes, and masks, a
            semantic map and proposals where it reads them.
        size: Height and width of the images in pixels.
        images: Images in the batch.
        channels: Channels of the images.
        objects: Objects in each image of a detector, at least two.
        unlabelled: Share of a classifier's images, the last ones, that have no label (-1).
    """
    if isinstance(model, Classifier):
        generator = torch.Generator().manual_seed(0)
        shape = (images, channels, *size)
        inputs = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        labels = torch.randint(model.num_classes, (images,), generator=generator)
        labels[images - round(unlabelled * images) :] = -1
        return {'inputs': inputs, 'data_samples': labels}
    numbers = [objects] * images
    # Classes are overwritten below.
    data = demo_mm_inputs(images, (channels, *size), numbers, 2, with_mask=True, with_semantic=True)
    names = ' '.join(name for name, _ in model.named_modules())
    heads = [m for name, m in model.named_modules() if not name.endswith('rpn_head')]
    counts = [getattr(head, 'num_classes', None) for head in heads]
    # The fewest that any head knows.
    classes = min((c for c in counts if isinstance(c, int) and c > 0), default=2)
    for index, sample in enumerate(data['data_samples']):
        labels = sample.gt_instances
        shuffled = (torch.arange(objects) + index) % objects
        labels.labels = shuffled * (classes - 1) // (objects - 1)
        if 'mask' not in names:
            del labels.masks
        if 'semantic' in names or 'panoptic' in names:
            sample.gt_sem_seg.sem_seg = _stripes(size, _num_semantic_classes(model, classes))
        else:
            del sample.gt_sem_seg
        if not getattr(model, 'with_rpn', True):
            sample.proposals = _proposals(labels.bboxes, size)
    return data


def stand_in_for_runner() -> None:
    """Say iteration and epoch where no runner does: YOLOX, TOOD and BoxInst ask for them."""
    hub = MessageHub.get_current_instance()
    for name in {'iter', 'epoch'} - hub.runtime_info.keys():
        hub.update_info(name, 0)


def _num_semantic_classes(model: nn.Module, default: int) -> int:
    """Return the number of classes of a semantic or panoptic map."""
    for name, head in model.named_modules():
        if hasattr(head, 'num_stuff_classes'):  # a map of things and stuff
            return int(head.num_things_classes + head.num_stuff_classes)
        if name.endswith('semantic_head'):
            return int(head.num_classes)
    return default


def _stripes(size: tuple[int, int], classes: int) -> Tensor:
    """Return a label map (1, H, W) of six vertical stripes, from the first class to the last."""
    stripes = torch.arange(size[1]) * 6 // size[1]
    return (stripes * (classes - 1) // 5).expand(1, *size).contiguous()


def _proposals(boxes: Tensor, size: tuple[int, int]) -> InstanceData:
    """Return boxes around the objects, for detectors that read proposals with the data."""
    shifts = torch.tensor([[0.0, 0, 0, 0], [-8, -8, 8, 8], [4, 4, 12, 12], [30, 10, 50, 40]])
    moved = clip_boxes_to_image((boxes[:, None] + shifts).reshape(-1, 4), size)
    return InstanceData(bboxes=moved, scores=torch.ones(len(moved)))
