"""Read an annotation file in COCO's format, and find entries that would break a run."""

from __future__ import annotations

import codecs
import gc
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.mask import decode, frPyObjects

EXPECTED = (
    'expected a JSON object with the lists "images", "annotations" and "categories" of COCO\'s '
    'format: convert the labels, or name a data set class that reads this format'
)


@dataclass(frozen=True)
class CocoFile:
    """Entries of an annotation file, each with the fields that mmdet reads.

    Attributes:
        path: The file.
        images: By id.
        annotations: In their order; empty where the file has no such list (images to predict on).
        categories: Name of each category id, in the file's order.
    """

    path: Path
    images: dict[Any, dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: dict[Any, str]


def read_coco(path: Path) -> CocoFile:
    """Read and check the entries of a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON, not of COCO's format, or has an entry that mmdet or
            pycocotools would stop at; the message names the file and the first such entry.
    """
    content = _read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a JSON {type(content).__name__}; {EXPECTED}')
    # Images to predict on (test-dev) come without annotations.
    lists: dict[str, Any] = {name: content.get(name) for name in ('images', 'categories')}
    lists['annotations'] = content.get('annotations', [])
    wrong = [name for name, entries in lists.items() if not isinstance(entries, list)]
    if wrong:
        raise ValueError(
            f'{path} has no list {" and no list ".join(map(repr, wrong))} (it has '
            f'{", ".join(map(repr, list(content)[:8])) or "nothing"}); {EXPECTED}'
        )
    images = _by_id(path, 'images', lists['images'], _image_fault)
    _by_id(path, 'annotations', lists['annotations'], _annotation_fault)
    categories = _by_id(path, 'categories', lists['categories'], _category_fault)
    for field, entries in (('image_id', images), ('category_id', categories)):
        _require_one_kind(path, field, lists['annotations'], entries)
    names = {key: entry['name'] for key, entry in categories.items()}
    return CocoFile(path, images, lists['annotations'] or [], names)


def _require_one_kind(
    path: Path, field: str, annotations: Iterable[dict[str, Any]], entries: Mapping[Any, Any]
) -> None:
    """Raise where annotations write a number as text, or text as a number, that entries have.

    Either works; both together mean other ids to mmdet, which would drop the objects.
    """
    as_text = {str(key): key for key in entries}
    for annotation in annotations:
        value = annotation[field]
        if value not in entries and str(value) in as_text:
            other = as_text[str(value)]
            name = 'images' if field == 'image_id' else 'categories'
            raise ValueError(
                f'{path}: annotation {annotation["id"]!r} has the {field} {value!r}, {name} have '
                f'the id {other!r}: text and numbers are different ids, so mmdet would drop the '
                'object; write both as numbers'
            )


def _read_json(path: Path) -> Any:
    """Contents of a JSON file."""
    try:
        with _without_garbage_collection():
            content = path.read_bytes()
            if content.startswith(codecs.BOM_UTF8):
                raise ValueError('it begins with a byte order mark: save it as UTF-8 without one')
            return json.loads(content)
    except RecursionError as error:
        raise ValueError(f'{path} is nested too deep to be read; {EXPECTED}') from error
    except ValueError as error:  # JSON's own, and bytes that are no text
        size = path.stat().st_size
        raise ValueError(f'{path} ({size} bytes) is not JSON: {error}; {EXPECTED}') from error


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage: looking for cycles takes 40 % of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _by_id(path: Path, name: str, entries: Iterable[Any], fault_of: Any) -> dict[Any, Any]:
    """Entries of a list by their ``id``, each of them checked."""
    found: dict[Any, Any] = {}
    for index, entry in enumerate(entries):
        fault = fault_of(entry) if isinstance(entry, dict) else 'is not a JSON object'
        if fault is None and entry['id'] in found:
            fault = 'has the id of an earlier entry; mmdet would mix up their labels'
        if fault is not None:
            raise ValueError(
                f'{path}: {name}[{index}] {fault} ({json.dumps(entry)[:120]}): mend the file'
            )
        found[entry['id']] = entry
    return found


def _image_fault(image: dict[str, Any]) -> str | None:
    """What mmdet would stop at in an entry of ``images``."""
    if not _is_id(image.get('id')):
        return 'has no id, expected a number or text'
    if not isinstance(image.get('file_name'), str):
        return 'has no file_name, expected text'
    if not (_is_positive(image.get('height')) and _is_positive(image.get('width'))):
        return 'has no height and width, expected positive numbers of pixels'
    return None


def _annotation_fault(annotation: dict[str, Any]) -> str | None:
    """What mmdet would stop at in an entry of ``annotations``."""
    for name in ('id', 'image_id', 'category_id'):
        if not _is_id(annotation.get(name)):
            return f'has no {name}, expected a number or text'
    if annotation.get('ignore'):
        return None
    box = annotation.get('bbox')
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return 'has no usable bbox, expected [x, y, width, height] in pixels'
    if not _is_number(annotation.get('area')):
        return 'has no area, expected a number of pixels (the width times the height will do)'
    return None


def _category_fault(category: dict[str, Any]) -> str | None:
    """What mmdet would stop at in an entry of ``categories``."""
    if not _is_id(category.get('id')):
        return 'has no id, expected a number or text'
    return None if isinstance(category.get('name'), str) else 'has no name, expected text'


def _is_id(value: Any) -> bool:
    """Whether a value can be an id."""
    return isinstance(value, (int, str))


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number; JSON as Python reads it knows NaN."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    """Whether a value is a number above 0."""
    return _is_number(value) and value > 0


def segmentation_fault(segmentation: Any, image: Mapping[str, Any]) -> str | None:
    """What is wrong with a segmentation, if anything is.

    Returns:
        ``'absent'``, ``'rings'`` (a polygon that is no list of lists of numbers), ``'code'`` (one
        that cannot be read) or ``'size'`` (one of another image's), which stop a run;
        ``'invalid'`` (no ring of three points, or an incomplete code), which mmdet ignores; None.
    """
    if not segmentation:
        return 'absent'
    if isinstance(segmentation, list):
        if not all(map(_is_ring, segmentation)):
            return 'rings'
        drawn = any(len(ring) >= 6 and len(ring) % 2 == 0 for ring in segmentation)
        return None if drawn else 'invalid'
    if not isinstance(segmentation, dict):
        return 'invalid'
    counts, size = segmentation.get('counts'), segmentation.get('size')
    if not isinstance(counts, (list, str)) or size is None:
        return 'invalid'
    if isinstance(counts, list) and not all(isinstance(count, int) for count in counts):
        return 'invalid'
    if size != [image['height'], image['width']]:
        return 'size'
    if isinstance(counts, list):
        return None if sum(counts) == image['height'] * image['width'] else 'size'
    return None if _is_drawable(segmentation) else 'code'


def can_be_compared(segmentation: Any, image: Mapping[str, Any]) -> bool:
    """Whether pycocotools makes a mask of a segmentation, as the evaluator will."""
    if isinstance(segmentation, dict) and not isinstance(segmentation.get('counts'), list):
        return isinstance(segmentation.get('counts'), str) and bool(segmentation.get('size'))
    try:
        frPyObjects(segmentation, image['height'], image['width'])
    except Exception:  # it raises bare ones
        return False
    return True


def _is_ring(ring: Any) -> bool:
    """Whether a part of a polygon is a list of finite numbers."""
    try:
        return isinstance(ring, list) and all(map(math.isfinite, ring))
    except TypeError:
        return False


def _is_drawable(code: Mapping[str, Any]) -> bool:
    """Whether pycocotools draws a run-length code in its own text, as training will.

    It takes 0.4 ms for 640 x 480 pixels, and says nothing of a code that ends too early.
    """
    try:
        decode(dict(code))
    except (ValueError, TypeError):
        return False
    return True
