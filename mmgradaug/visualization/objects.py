"""Labels and predictions of a detector on an image, drawn by mmdet's own visualizer."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.colors import to_rgb
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from .canvas import colour_at

_SIDE = 450  # pixels that a small image is enlarged to, so that names find room


def draw_objects(
    image: NDArray[np.uint8],
    instances: InstanceData,
    classes: Sequence[str],
    ignored: InstanceData | None = None,
) -> NDArray[np.uint8]:
    """Draw boxes, masks and names of objects on an image.

    Args:
        image: (H, W, 3), RGB.
        instances: Labels or predictions, with boxes in pixels of the image.
        classes: Names of the classes, by index.
        ignored: Regions that no loss and no metric looks at, crowds for instance; drawn in grey.

    Returns:
        The drawn image (k * H, k * W, 3), enlarged by a whole number k if it is small.
    """
    height, width = image.shape[:2]
    factor = max(1, _SIDE // max(height, width))
    drawn = [_enlarged(instances, (height, width), factor)]
    if ignored is not None and len(ignored):
        drawn.append(_enlarged(ignored, (height, width), factor))
        drawn[1].labels = torch.full_like(drawn[1].labels, len(classes))
    visualizer = DetLocalVisualizer(line_width=1.5, alpha=0.4)
    colours = [*(to_rgb(colour_at(index)) for index in range(len(classes))), (0.7, 0.7, 0.7)]
    visualizer.dataset_meta = {
        'classes': [*classes, 'ignored'],
        'palette': [tuple(round(255 * part) for part in colour) for colour in colours],
    }
    sample = DetDataSample(gt_instances=InstanceData.cat(drawn))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    visualizer.add_datasample('image', large, sample, draw_pred=False)
    return visualizer.get_image()


def _enlarged(instances: InstanceData, size: tuple[int, int], factor: int) -> InstanceData:
    """Return boxes, classes, masks and scores in an image of ``size`` enlarged by a factor."""
    enlarged = InstanceData(
        bboxes=factor * get_box_tensor(instances.bboxes).detach().cpu(),
        labels=instances.labels.cpu(),
    )
    if 'masks' in instances:
        masks = instances.masks
        bitmaps = masks.cpu().numpy() if isinstance(masks, torch.Tensor) else masks.to_ndarray()
        # Masks may be smaller than a batch that is padded.
        missing = [(0, whole - own) for whole, own in zip(size, bitmaps.shape[1:], strict=True)]
        bitmaps = np.pad(bitmaps.astype(bool), [(0, 0), *missing])
        enlarged.masks = bitmaps.repeat(factor, axis=1).repeat(factor, axis=2)
    if 'scores' in instances:
        enlarged.scores = instances.scores.cpu()
    return enlarged
