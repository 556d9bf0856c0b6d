"""Images and instances in, image files and a COCO annotation file out.

Images are written first and the annotation file last, each by way of a temporary file: an
annotation file that exists describes images that exist, however the run before ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..engine.atomic import write_atomically

RLE = dict[str, Any]
"""COCO's run-length code: ``size`` is [height, width], ``counts`` the compressed runs."""


@dataclass(frozen=True)
class Instance:
    """One object: its class and either polygons or a bitmap.

    Attributes:
        category: Index into the data set's class names, from 0.
        polygons: Rings [x1, y1, x2, y2, ...] in pixels, pixel i covering [i, i + 1). They are kept
            as polygons in the annotation file.
        mask: (H, W) bool, kept as run-length code.
        iscrowd: Marks a region of many objects that the loss and the metric leave out. COCO gives
            crowds as run-length code, so ``mask`` is needed.
    """

    category: int
    polygons: Sequence[Sequence[float]] | None = None
    mask: NDArray[np.bool_] | None = None
    iscrowd: bool = False

    def __post_init__(self) -> None:
        if (self.polygons is None) == (self.mask is None):
            raise ValueError(
                'an Instance takes polygons or a mask, one of the two; got '
                f'{"neither" if self.polygons is None else "both"}'
            )
        if self.iscrowd and self.mask is None:
            raise ValueError('a crowd Instance needs a mask; got polygons: rasterise them first')


@dataclass(frozen=True)
class Sample:
    """One image and its objects.

    Attributes:
        file_name: Name of the image file, relative to the split's image folder.
        image: (H, W, 3) uint8, RGB.
        instances: The objects; empty for an image without any.
    """

    file_name: str
    image: NDArray[np.uint8]
    instances: Sequence[Instance] = field(default_factory=tuple)


def write_coco(
    root: Path,
    split: str,
    samples: Iterable[Sample],
    classes: Sequence[str],
    info: dict[str, Any] | None = None,
) -> Path:
    """Write ``root/split/*`` and ``root/annotations/split.json``.

    Args:
        root: Folder of the data set; made if missing.
        split: Name of the split, such as ``train``.
        samples: The images with their objects.
        classes: Class names; category ids in the file are index + 1, as COCO counts.
        info: The file's ``info`` entry; :func:`is_complete` compares it.

    Returns:
        Path of the annotation file.

    Raises:
        ValueError: An instance's category has no class name, or its mask is not the image's size.
        OSError: A file cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(samples, start=1):
        write_image(root / split / sample.file_name, sample.image)
        height, width = sample.image.shape[:2]
        images.append(
            {'id': image_id, 'file_name': sample.file_name, 'width': width, 'height': height}
        )
        for instance in sample.instances:
            entry = _annotation(instance, height, width, len(classes))
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **entry})
    content = {
        'info': info or {},
        'images': images,
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
    }
    target = annotation_path(root, split)
    write_atomically(json.dumps(content).encode(), target)
    return target


def annotation_path(root: Path, split: str) -> Path:
    """Where :func:`write_coco` puts the annotation file of a split."""
    return root / 'annotations' / f'{split}.json'


def is_complete(root: Path, split: str, info: dict[str, Any]) -> bool:
    """Whether a split was written with the same ``info`` and all its images are there."""
    try:
        content = json.loads(annotation_path(root, split).read_text())
    except (OSError, ValueError):
        return False
    if content.get('info') != info:
        return False
    return all((root / split / image['file_name']).is_file() for image in content['images'])


def encode_mask(mask: NDArray[np.bool_]) -> RLE:
    """(H, W) bool to COCO's run-length code, with ``counts`` as text for JSON."""
    rle: RLE = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': [int(n) for n in rle['size']], 'counts': rle['counts'].decode('ascii')}


def rasterize(polygons: Sequence[Sequence[float]], height: int, width: int) -> NDArray[np.bool_]:
    """Fill rings [x1, y1, ...] in pixels by COCO's own rule; returns (H, W) bool."""
    filled = mask_utils.decode(_polygon_rle(polygons, height, width))
    return np.asarray(filled, dtype=bool)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB as a file of the format that the suffix names.

    Raises:
        ValueError: The array is not of that shape and type.
        OSError: The image cannot be encoded or written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'{path.name}: expected an RGB image of shape (H, W, 3) and dtype uint8, '
            f'got shape {image.shape} and dtype {image.dtype}'
        )
    done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise OSError(f'{path}: OpenCV could not encode the image as {path.suffix}')
    write_atomically(encoded.tobytes(), path)


def _annotation(instance: Instance, height: int, width: int, num_classes: int) -> dict[str, Any]:
    """COCO entry of one instance, without its ids."""
    if not 0 <= instance.category < num_classes:
        raise ValueError(
            f'category {instance.category} has no name: expected 0 to {num_classes - 1}, '
            'an index into classes'
        )
    if instance.polygons is not None:
        segmentation: Any = [[float(v) for v in ring] for ring in instance.polygons]
        rle = _polygon_rle(segmentation, height, width)
    else:
        segmentation = rle = _mask_rle(instance, height, width)
    return {
        'category_id': instance.category + 1,
        'segmentation': segmentation,
        # Area and box come from the very pixels that a loader will decode.
        'area': float(mask_utils.area(rle)),
        'bbox': [float(v) for v in mask_utils.toBbox(rle)],
        'iscrowd': int(instance.iscrowd),
    }


def _mask_rle(instance: Instance, height: int, width: int) -> RLE:
    """Code of an instance's bitmap, which must be of the image's size."""
    assert instance.mask is not None
    if instance.mask.shape != (height, width):
        raise ValueError(
            f'a mask of shape {instance.mask.shape} in an image of shape {(height, width)}: '
            'expected the same height and width'
        )
    return encode_mask(instance.mask)


def _polygon_rle(polygons: Sequence[Sequence[float]], height: int, width: int) -> RLE:
    """The union of some rings as one run-length code."""
    rings = [list(ring) for ring in polygons]
    rle: RLE = mask_utils.merge(mask_utils.frPyObjects(rings, height, width))
    return rle
