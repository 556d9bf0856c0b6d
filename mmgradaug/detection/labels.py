"""Move an image's labels to its transformed copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ..transforms import GeometricMap


def move_samples(
    samples: SampleList, mapping: GeometricMap, padded_size: tuple[int, int] | None = None
) -> SampleList:
    """Labels of transformed images, for heads that train on them as on any image's.

    Args:
        samples: Labels of the original batch, boxes in pixels of the padded batch.
        mapping: Where the transform moved things.
        padded_size: Height and width to which the transformed images were padded; masks and
            semantic maps are padded alike, as mmdet's data preprocessor does.

    Returns:
        New data samples; the originals are not changed.

    Raises:
        ValueError: If one holds labels of a kind that is not known to move.
    """
    return [_move_sample(sample, mapping, padded_size or mapping.out_size) for sample in samples]


def _move_sample(
    sample: DetDataSample, mapping: GeometricMap, size: tuple[int, int]
) -> DetDataSample:
    """Move all that a data sample holds, and pad it to a size."""
    metainfo = move_metainfo(sample.metainfo, mapping)
    # An image as large as the batch is padded with it; a smaller one has no valid anchors beyond
    # its own padding.
    pad_shape = tuple(
        padded if own == whole else own
        for own, whole, padded in zip(metainfo['pad_shape'], mapping.out_size, size, strict=True)
    )
    moved = DetDataSample(metainfo={**metainfo, 'pad_shape': pad_shape, 'batch_input_shape': size})
    for name, value in sample.items():
        if isinstance(value, InstanceData):
            value = _padded_masks(move_instances(value, mapping), size)
        elif isinstance(value, PixelData):
            value = move_pixels(value, mapping, size)
        else:
            raise _cannot_move(name, type(value).__name__)
        setattr(moved, name, value)
    return moved


def _cannot_move(name: str, value: str) -> ValueError:
    """The error for labels that would stay where they are while the image moves."""
    return ValueError(
        f'labels {name} ({value}) cannot be moved with the image, expected boxes, masks or maps of '
        "the images' size: train this detector without sub-networks (gradaug.num_subnets=0)"
    )


def _padded_masks(instances: InstanceData, size: tuple[int, int]) -> InstanceData:
    """Pad masks right and bottom."""
    masks = instances.get('masks')
    if isinstance(masks, (BitmapMasks, PolygonMasks)):
        instances.masks = masks.pad(size)
    return instances


def move_metainfo(metainfo: dict[str, Any], mapping: GeometricMap) -> dict[str, Any]:
    """Meta information of the transformed image.

    The content of a turned image starts anywhere in the padded batch, so all of it counts.
    """
    scale_x, scale_y = mapping.scale
    height, width = metainfo['img_shape'][:2]
    padded_height, padded_width = metainfo.get('pad_shape', mapping.in_size)[:2]
    if mapping.turns:
        shape = pad_shape = mapping.out_size
    else:
        shape = (round(height * scale_y), round(width * scale_x))
        pad_shape = (round(padded_height * scale_y), round(padded_width * scale_x))
    sizes = {'img_shape': shape, 'pad_shape': pad_shape}
    return {**metainfo, **sizes, 'batch_input_shape': mapping.out_size}


def without_masks(samples: SampleList) -> SampleList:
    """Copies of data samples with boxes and labels only, where nothing else is needed."""
    copies = []
    for sample in samples:
        copy = DetDataSample(metainfo=sample.metainfo)
        for name in ('gt_instances', 'ignored_instances'):
            if name in sample:
                kept = {k: v for k, v in sample.get(name).items() if k in ('bboxes', 'labels')}
                setattr(copy, name, InstanceData(**kept))
        copies.append(copy)
    return copies


def move_instances(instances: InstanceData, mapping: GeometricMap) -> InstanceData:
    """Move the boxes and masks of instances; other fields are taken over.

    Args:
        instances: Instances of one image.
        mapping: Where the transform moved things.

    Raises:
        ValueError: If a field is a map of another size than the images.
    """
    moved = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        if name in ('bboxes', 'priors'):
            value = mapping.boxes(get_box_tensor(value))
        elif isinstance(value, (BitmapMasks, PolygonMasks)):
            value = move_masks(value, mapping)
        elif isinstance(value, Tensor) and value.shape[-2:] == mapping.in_size:
            value = _move_maps(value, mapping)  # masks as some heads want them
        elif isinstance(value, Tensor) and value.dim() > 2:
            raise _cannot_move(name, f'a tensor of shape {tuple(value.shape)}')
        setattr(moved, name, value)
    return moved


def move_masks(
    masks: BitmapMasks | PolygonMasks, mapping: GeometricMap
) -> BitmapMasks | PolygonMasks:
    """Turn and resize masks, padded to the batch first as the images are."""
    if isinstance(masks, PolygonMasks):
        polygons = [[_move_polygon(part, mapping) for part in parts] for parts in masks.masks]
        return PolygonMasks(polygons, *mapping.out_size)
    # OpenCV, which pads and resizes, takes no booleans.
    bitmap = BitmapMasks(masks.masks.astype(np.uint8), masks.height, masks.width)
    padded = bitmap.pad(mapping.in_size)
    turned = np.ascontiguousarray(np.rot90(padded.masks, mapping.turns, (1, 2)))
    return BitmapMasks(turned, *mapping.turned_size).resize(mapping.out_size)


def _move_polygon(polygon: np.ndarray, mapping: GeometricMap) -> np.ndarray:
    """Move a polygon (2K,) of alternating x and y."""
    points = torch.as_tensor(polygon, dtype=torch.float64).reshape(-1, 2)
    moved = mapping.boxes(torch.cat([points, points], dim=1))[:, :2]
    return moved.reshape(-1).numpy().astype(polygon.dtype)


def move_pixels(
    pixels: PixelData, mapping: GeometricMap, padded_size: tuple[int, int], ignored: int = 255
) -> PixelData:
    """Turn and resize label maps (1, H, W) to the nearest label.

    Args:
        pixels: The maps, of the original images or the original batch.
        mapping: Where the transform moved things.
        padded_size: Height and width of the moved maps, with padding right and bottom.
        ignored: Label of all padding.
    """
    moved = PixelData(metainfo=pixels.metainfo)
    for name, value in pixels.items():
        whole = _padded(value, mapping.in_size, ignored)
        setattr(moved, name, _padded(_move_maps(whole, mapping), padded_size, ignored))
    return moved


def _padded(maps: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """Maps (..., H, W) padded right and bottom to a size."""
    missing = (0, size[1] - maps.size(-1), 0, size[0] - maps.size(-2))
    return F.pad(maps, missing, value=value) if any(missing) else maps


def _move_maps(maps: Tensor, mapping: GeometricMap) -> Tensor:
    """Turn and resize maps (..., H, W) to the nearest value."""
    turned = mapping.grids(maps).flatten(0, -3)[None].float()
    resized = F.interpolate(turned, mapping.out_size, mode='nearest')[0]
    return resized.to(maps.dtype).reshape(*maps.shape[:-2], *mapping.out_size)
