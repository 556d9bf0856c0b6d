"""Objects of annotation files: which of them mmdet leaves out, and which would stop it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..error_text import listed
from .coco_file import CocoFile, can_be_compared, segmentation_fault
from .datasets import CocoUse

KEPT = 'kept'
DROPPED = {
    'image': 'name an image_id that the file does not have',
    'category': 'are of categories that metainfo.classes does not have ({}), or the file has not',
    'outside': 'have a box outside the image',
    'small': 'have an area of 0 or a box of less than one pixel',
    'invalid': 'have a segmentation without three points or a complete code; ignored, not learnt',
}
BREAKS = {
    'absent': 'annotation {0} has no segmentation, which {1} needs for masks: add it, or train '
    'boxes alone (a detector without mask head, with_mask=False, metric="bbox")',
    'size': "annotation {0} has a run-length code that is not of its image's [height, width] "
    '({1}): mend the code or the image entry',
    'code': 'annotation {0} has a run-length code that cannot be read, which {1} needs for masks: '
    'expected counts as a list of numbers or as the text that pycocotools makes; write it again',
    'rings': 'annotation {0} has a polygon that {1} cannot read, expected lists of numbers in a '
    'list, [[x1, y1, x2, y2, x3, y3, ...], ...], in pixels: mend it',
    'compared': 'annotation {0} has a segmentation that {1} (pycocotools) cannot draw, expected a '
    'polygon whose rings have three points or more, [[x1, y1, x2, y2, x3, y3, ...], ...], or a '
    'complete run-length code: mend it, or remove the annotation',
    'text': 'annotation {0!r} has text for an id, expected a number, which {1} (pycocotools) needs '
    'to compare predictions: number the annotations',
    'iscrowd': 'annotation {0} has no iscrowd, which {1} needs: add "iscrowd": 0',
}


def fault_of(annotation: dict[str, Any], content: CocoFile, use: CocoUse, known: set[Any]) -> str:
    """Why mmdet leaves an object out, or would stop at it.

    Args:
        annotation: The object's entry.
        content: The file it is in.
        use: The file's reader.
        known: Ids of the categories that are among its classes.

    Returns:
        A key of ``DROPPED`` or of ``BREAKS``, ``'crowd'``, ``'ignored'``, or ``KEPT``.
    """
    image = content.images.get(annotation['image_id'])
    if image is None:
        return 'image'
    if annotation['category_id'] not in known:
        return 'category'
    if annotation.get('ignore'):
        return 'ignored'
    if use.evaluator:
        if 'iscrowd' not in annotation:
            return 'iscrowd'
        if not _is_numeric(annotation['id']):
            return 'text'
    else:
        x, y, width, height = annotation['bbox']
        if not (x < image['width'] and y < image['height'] and x + width > 0 and y + height > 0):
            return 'outside'
        if annotation['area'] <= 0 or width < 1 or height < 1:
            return 'small'
    segmentation = annotation.get('segmentation')
    fault = segmentation_fault(segmentation, image) if use.masks else None
    if use.masks and use.evaluator and fault in (None, 'invalid'):
        fault = None if can_be_compared(segmentation, image) else 'compared'
    if fault is None and use.training and annotation.get('iscrowd'):
        return 'crowd'
    return fault or KEPT


def counted(fault: str, faults: Counter[str], use: CocoUse) -> str:
    """A fault of ``DROPPED`` in words, with its count."""
    text = DROPPED[fault].format(listed(use.classes))
    return f'{faults[fault]} of {faults.total()} annotations {text}'


def summary(faults: Counter[str], use: CocoUse) -> str:
    """All faults in words."""
    words = [counted(fault, faults, use) for fault in DROPPED if faults[fault]]
    if faults['crowd']:
        words.append(f'{faults["crowd"]} of {faults.total()} annotations are crowd regions')
    return '; '.join(words) or f'{faults.total()} annotations'


def _is_numeric(value: Any) -> bool:
    """Whether pycocotools can put an id into an array of numbers."""
    try:
        float(value)
    except ValueError:
        return False
    return True
