"""Check outlines of annotations against their boxes: one of both may be in other units.

Polygons divided by the image's size, outlines of a larger image or with width and height swapped,
and boxes written as two corners train without an error, to masks or boxes of something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pycocotools import mask as rle

from ..errors import ConfigError

MOST_OBJECTS = 100_000  # that are looked at, evenly spread: seconds


def check_outlines(where: str, objects: Iterable[Mapping[str, Any]], masks: bool) -> str:
    """Check that the outlines of objects meet their boxes; return how many do not, for a warning.

    Args:
        where: What the objects are of.
        objects: Annotations.
        masks: Whether outlines are used. If not, they still tell boxes written as corners.

    Raises:
        ConfigError: If most do not.
    """
    objects = list(objects)
    objects = objects[:: len(objects) // MOST_OBJECTS + 1]
    found = [(misfit, a) for a in objects if (misfit := _misfit(a)) is not None]
    corners = [a for misfit, a in found if misfit == 'corners']
    apart = [a for misfit, a in found if misfit]
    if 2 * len(apart if masks else corners) > len(found):
        first = apart[0]
        raise ConfigError(
            f'{where}: outlines of {len(apart)} of {len(found)} objects do not meet their boxes, '
            f'first of annotation {first["id"]!r} with bbox={first["bbox"]}: write boxes as [x, y, '
            'width, height], not as corners, and both in pixels of the image, not divided by its '
            'size nor of an image of another size'
        )
    few = f'; {len(apart)} of {len(found)} objects have outlines that do not meet their boxes'
    return few if apart else ''


def _misfit(annotation: Mapping[str, Any]) -> str | None:
    """Return how the outline of an object misses its box, empty if it does not; None without one.

    Either may lie within the other, as where objects are cut or boxes wide. A pixel is nothing.
    """
    extent = _extent(annotation.get('segmentation'))
    if extent is None or annotation.get('iscrowd'):
        return None
    left, top, right, bottom = extent
    x, y, width, height = annotation['bbox']
    off = max(abs(left - x), abs(top - y), abs(right - width), abs(bottom - height))
    if off <= 1 and max(abs(right - x - width), abs(bottom - y - height)) > 2:
        return 'corners'
    across = min(right, x + width) - max(left, x) + 2
    down = min(bottom, y + height) - max(top, y) + 2
    smaller = min((right - left + 2) * (bottom - top + 2), (width + 2) * (height + 2))
    return 'apart' if 2 * max(across, 0) * max(down, 0) < smaller else ''


def _extent(outline: Any) -> tuple[float, ...] | None:
    """Return left, top, right and bottom of polygons or run lengths; None of what is neither."""
    if isinstance(outline, dict) and outline.keys() >= {'counts', 'size'}:
        runs = isinstance(outline['counts'], list)
        coded = rle.frPyObjects(outline, *outline['size']) if runs else outline
        left, top, width, height = rle.toBbox(coded).tolist()
        return (left, top, left + width, top + height) if width else None
    parts = outline if isinstance(outline, list) else []
    parts = [p for p in parts if isinstance(p, list) and p[5:] and len(p) % 2 == 0]
    parts = [p for p in parts if all(isinstance(value, (int, float)) for value in p)]
    xs, ys = [x for p in parts for x in p[::2]], [y for p in parts for y in p[1::2]]
    return (min(xs), min(ys), max(xs), max(ys)) if parts else None
