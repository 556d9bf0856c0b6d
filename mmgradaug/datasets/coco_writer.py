"""Images and their objects in, image files and a COCO annotation file out.

The annotation file is written last, so that one that exists describes images that exist.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..engine.atomic import write_atomically

# Rings [x1, y1, x2, y2, ...] in pixels, pixel i covering [i, i + 1), or a mask (H, W).
Segmentation = Sequence[Sequence[float]] | NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One image."""

    file_name: str  # of its PNG file
    image: NDArray[np.uint8]  # (H, W, 3), RGB
    objects: Sequence[tuple[int, Segmentation]]  # each with its class, from 0
    notes: Mapping[str, Any] = field(default_factory=dict)  # more keys of its entry in the file


def write_coco(
    root: Path, split: str, samples: Iterable[Sample], classes: Sequence[str], info: dict[str, Any]
) -> None:
    """Write ``root/split/*`` and ``root/annotations/split.json``, rings as they are, masks as RLE.

    Category ids are indices of classes + 1, as COCO counts; :func:`is_complete` compares ``info``.
    """
    target = root / 'annotations' / f'{split}.json'
    target.unlink(missing_ok=True)  # old labels must not describe new images
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(samples, start=1):
        name, (height, width) = sample.file_name, sample.image.shape[:2]
        _, encoded = cv2.imencode('.png', cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))
        write_atomically(encoded.tobytes(), root / split / name)
        entry = {'id': image_id, 'file_name': name, 'width': width, 'height': height}
        images.append({**entry, **sample.notes})
        for category, segmentation in sample.objects:
            rle = _rle_of(segmentation, height, width)
            coded = {**rle, 'counts': rle['counts'].decode()}
            annotation = {
                'id': len(annotations) + 1,
                'image_id': image_id,
                'category_id': category + 1,
                'segmentation': coded if isinstance(segmentation, np.ndarray) else segmentation,
                # Area and box come from the very pixels that a loader will decode.
                'area': float(mask_utils.area(rle)),
                'bbox': [float(v) for v in mask_utils.toBbox(rle)],
                'iscrowd': 0,
            }
            annotations.append(annotation)
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)]
    content = {'info': info, 'images': images, 'annotations': annotations, 'categories': categories}
    write_atomically(json.dumps(content).encode(), target)


def is_complete(root: Path, split: str, info: dict[str, Any]) -> bool:
    """Return whether a split was written with the same ``info`` and has all its images."""
    path = root / 'annotations' / f'{split}.json'
    content = json.loads(path.read_text()) if path.is_file() else {}
    return content.get('info') == json.loads(json.dumps(info)) and all(
        (root / split / image['file_name']).is_file() for image in content['images']
    )


def rasterize(segmentation: Segmentation, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask (H, W) of a segmentation, rings filled by COCO's own rule."""
    return np.asarray(mask_utils.decode(_rle_of(segmentation, height, width)), dtype=bool)


def _rle_of(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """Return COCO's run-length code of a mask or of the union of some rings."""
    if isinstance(segmentation, np.ndarray):
        return mask_utils.encode(np.asfortranarray(segmentation, dtype=np.uint8))
    return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
