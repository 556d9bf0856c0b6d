"""Move an image's labels to its transformed copy."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ..errors import ConfigError
from ..transforms import GeometricMap

MASKS = (BitmapMasks, PolygonMasks)


def move_samples(
    samples: SampleList, mapping: GeometricMap, padded_size: tuple[int, int] | None = None
) -> SampleList:
    """Return labels on transformed images, for heads that train on them as on any image's.

    Boxes of the original samples are in pixels of the padded batch. Masks and semantic maps are
    padded to ``padded_size`` (height, width) as the transformed images were.
    """
    return [_move_sample(sample, mapping, padded_size or mapping.out_size) for sample in samples]


def _move_sample(
    sample: DetDataSample, mapping: GeometricMap, size: tuple[int, int]
) -> DetDataSample:
    moved = DetDataSample(metainfo=move_metainfo(sample.metainfo, mapping, size))
    for name, value in sample.items():
        if isinstance(value, InstanceData):
            value = move_instances(value, mapping)
            if isinstance(value.get('masks'), MASKS) and size != mapping.out_size:
                value.masks = value.masks.pad(size)
        elif isinstance(value, PixelData):
            value = move_pixels(value, mapping, size)
        else:
            raise _cannot_move(name, type(value).__name__)
        setattr(moved, name, value)
    return moved


def _cannot_move(name: str, value: str) -> ConfigError:
    """Return the error for labels that would stay where they are while the image moves."""
    return ConfigError(
        f'labels {name} ({value}) cannot be moved with the image, expected boxes, masks or maps of '
        "the images' size: train this detector without sub-networks (gradaug.num_subnets=0)"
    )


def move_metainfo(
    metainfo: dict[str, Any], mapping: GeometricMap, padded_size: tuple[int, int]
) -> dict[str, Any]:
    """Return the meta information of the transformed image, padded to a size.

    An image as large as the batch is padded with it; a smaller one has no valid anchors beyond
    its own padding. The content of a turned image starts anywhere, so all of it counts.
    """
    scale_x, scale_y = mapping.scale
    height, width = metainfo['img_shape'][:2]
    own_height, own_width = metainfo.get('pad_shape', mapping.in_size)[:2]
    shape = own = mapping.out_size
    if not mapping.turns:
        shape = (round(height * scale_y), round(width * scale_x))
        own = (round(own_height * scale_y), round(own_width * scale_x))
    pad_shape = tuple(
        padded if length == whole else length
        for length, whole, padded in zip(own, mapping.out_size, padded_size, strict=True)
    )
    sizes = {'img_shape': shape, 'pad_shape': pad_shape, 'batch_input_shape': padded_size}
    return {**metainfo, **sizes}


def move_instances(instances: InstanceData, mapping: GeometricMap) -> InstanceData:
    """Move the boxes and masks of instances of one image; other fields are taken over."""
    moved = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        if name == 'bboxes':
            value = mapping.boxes(get_box_tensor(value))
        elif isinstance(value, MASKS):
            value = move_masks(value, mapping)
        elif isinstance(value, Tensor) and value.shape[-2:] == mapping.in_size:
            value = _move_maps(value, mapping)  # masks as some heads want them
        elif isinstance(value, Tensor) and value.dim() > 2:
            raise _cannot_move(name, f'a tensor of shape {tuple(value.shape)}')
        setattr(moved, name, value)
    return moved


def move_masks(masks: Any, mapping: GeometricMap) -> Any:
    """Turn and resize bitmap or polygon masks, padded to the batch first as the images are."""
    if isinstance(masks, PolygonMasks):
        polygons = [[_move_polygon(part, mapping) for part in parts] for parts in masks.masks]
        return PolygonMasks(polygons, *mapping.out_size)
    # OpenCV, which pads and resizes, takes no booleans. Masks of many objects are large: no copy
    # is made for nothing.
    moved = BitmapMasks(masks.masks.astype(np.uint8, copy=False), masks.height, masks.width)
    if (moved.height, moved.width) != mapping.in_size:
        moved = moved.pad(mapping.in_size)
    if mapping.turns:
        turned = np.ascontiguousarray(np.rot90(moved.masks, mapping.turns, (1, 2)))
        moved = BitmapMasks(turned, *mapping.turned_size)
    return moved if mapping.turned_size == mapping.out_size else moved.resize(mapping.out_size)


def _move_polygon(polygon: np.ndarray, mapping: GeometricMap) -> np.ndarray:
    """Move a polygon (2K,) of alternating x and y."""
    points = torch.as_tensor(polygon, dtype=torch.float64).reshape(-1, 2)
    moved = mapping.boxes(torch.cat([points, points], dim=1))[:, :2]
    return moved.reshape(-1).numpy().astype(polygon.dtype)


def move_pixels(
    pixels: PixelData, mapping: GeometricMap, padded_size: tuple[int, int], ignored: int = 255
) -> PixelData:
    """Turn and resize label maps (1, H, W) to the nearest label, and pad right and bottom."""
    moved = PixelData(metainfo=pixels.metainfo)
    for name, value in pixels.items():
        whole = _pad_maps(value, mapping.in_size, ignored)
        setattr(moved, name, _pad_maps(_move_maps(whole, mapping), padded_size, ignored))
    return moved


def _pad_maps(maps: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """Pad maps (..., H, W) right and bottom to a size."""
    missing = (0, size[1] - maps.size(-1), 0, size[0] - maps.size(-2))
    return F.pad(maps, missing, value=value) if any(missing) else maps


def _move_maps(maps: Tensor, mapping: GeometricMap) -> Tensor:
    """Turn and resize maps (..., H, W) to the nearest value."""
    turned = mapping.grids(maps).flatten(0, -3)[None].float()
    resized = F.interpolate(turned, mapping.out_size, mode='nearest')[0]
    return resized.to(maps.dtype).reshape(*maps.shape[:-2], *mapping.out_size)
