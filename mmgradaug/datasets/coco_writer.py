"""Images and instances in, image files and a COCO annotation file out.

The annotation file is written last, so that one that exists describes images that exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..engine.atomic import write_atomically

Polygons = Sequence[Sequence[float]]
"""Rings [x1, y1, x2, y2, ...] in pixels, pixel i covering [i, i + 1)."""


@dataclass(frozen=True)
class Instance:
    """One object.

    Attributes:
        category: Index into the data set's class names, from 0.
        segmentation: Polygons, which the annotation file keeps as they are, or a mask (H, W) of
            bool, which it keeps as run-length code.
    """

    category: int
    segmentation: Polygons | NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One image (H, W, 3), RGB, with the name of its file and its objects."""

    file_name: str
    image: NDArray[np.uint8]
    instances: Sequence[Instance]


def write_coco(
    root: Path,
    split: str,
    samples: Iterable[Sample],
    classes: Sequence[str],
    info: dict[str, Any],
) -> None:
    """Write ``root/split/*`` and ``root/annotations/split.json``.

    Args:
        root: Folder of the data set; made if missing.
        split: Name of the split, such as ``train``.
        samples: The images with their objects.
        classes: Class names; category ids in the file are index + 1, as COCO counts.
        info: The file's ``info`` entry; :func:`is_complete` compares it.
    """
    target = _annotation_path(root, split)
    target.unlink(missing_ok=True)  # old labels must not describe new images
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(samples, start=1):
        name, (height, width) = sample.file_name, sample.image.shape[:2]
        _, encoded = cv2.imencode(Path(name).suffix, np.ascontiguousarray(sample.image[..., ::-1]))
        write_atomically(encoded.tobytes(), root / split / name)
        images.append({'id': image_id, 'file_name': name, 'width': width, 'height': height})
        for instance in sample.instances:
            entry = _annotation(instance, height, width)
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **entry})
    content = {
        'info': info,
        'images': images,
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
    }
    write_atomically(json.dumps(content).encode(), target)


def is_complete(root: Path, split: str, info: dict[str, Any]) -> bool:
    """Return whether a split was written with the same ``info`` and has all its images."""
    path = _annotation_path(root, split)
    content = json.loads(path.read_text()) if path.is_file() else {}
    return content.get('info') == info and all(
        (root / split / image['file_name']).is_file() for image in content['images']
    )


def rasterize(polygons: Polygons, height: int, width: int) -> NDArray[np.bool_]:
    """Fill polygons by COCO's own rule; returns a mask (H, W)."""
    return np.asarray(mask_utils.decode(_polygon_rle(polygons, height, width)), dtype=bool)


def _annotation_path(root: Path, split: str) -> Path:
    return root / 'annotations' / f'{split}.json'


def _annotation(instance: Instance, height: int, width: int) -> dict[str, Any]:
    """Return the COCO entry of an instance, without its ids."""
    segmentation: Any = instance.segmentation
    if isinstance(segmentation, np.ndarray):
        rle = mask_utils.encode(np.asfortranarray(segmentation, dtype=np.uint8))
        segmentation = {'size': [height, width], 'counts': rle['counts'].decode('ascii')}
    else:
        rle = _polygon_rle(segmentation, height, width)
    return {
        'category_id': instance.category + 1,
        'segmentation': segmentation,
        # Area and box come from the very pixels that a loader will decode.
        'area': float(mask_utils.area(rle)),
        'bbox': [float(v) for v in mask_utils.toBbox(rle)],
        'iscrowd': 0,
    }


def _polygon_rle(polygons: Polygons, height: int, width: int) -> dict[str, Any]:
    """Return the union of some rings as COCO's run-length code."""
    return mask_utils.merge(mask_utils.frPyObjects([list(p) for p in polygons], height, width))
