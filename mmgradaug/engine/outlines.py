"""Check polygons of annotations against their boxes: one of both may be in other units.

Polygons divided by the image's size, or of a larger image, and boxes written as two corners train
without an error, to masks or boxes of something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ConfigError

MOST_OBJECTS = 100_000  # that are looked at, evenly spread: seconds


def check_outlines(where: str, objects: Iterable[Mapping[str, Any]], masks: bool) -> str:
    """Check that the polygons of objects meet their boxes; return how many do not, for a warning.

    Args:
        where: What the objects are of.
        objects: Annotations.
        masks: Whether polygons are used. If not, they still tell boxes written as corners.

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
            f'{where}: polygons of {len(apart)} of {len(found)} objects do not meet their boxes, '
            f'first of annotation {first["id"]!r} with bbox={first["bbox"]}: write boxes as [x, y, '
            'width, height], not as corners, and both in pixels of the image, not divided by its '
            'size nor of an image of another size'
        )
    few = f'; {len(apart)} of {len(found)} objects have polygons that do not meet their boxes'
    return few if apart else ''


def _misfit(annotation: Mapping[str, Any]) -> str | None:
    """Return how the polygons of an object miss its box; None if it has none, empty if they do not.

    Either may lie within the other, as where objects are cut or boxes wide. A pixel is nothing.
    """
    parts = annotation.get('segmentation')
    parts = [p for p in parts if isinstance(p, list) and p[5:]] if isinstance(parts, list) else ()
    if not parts or annotation.get('iscrowd'):
        return None
    x, y, width, height = annotation['bbox']
    left, right = min(min(p[::2]) for p in parts), max(max(p[::2]) for p in parts)
    top, bottom = min(min(p[1::2]) for p in parts), max(max(p[1::2]) for p in parts)
    off = max(abs(left - x), abs(top - y), abs(right - width), abs(bottom - height))
    if off <= 1 and max(abs(right - x - width), abs(bottom - y - height)) > 2:
        return 'corners'
    across = min(right, x + width) - max(left, x) + 2
    down = min(bottom, y + height) - max(top, y) + 2
    smaller = min((right - left + 2) * (bottom - top + 2), (width + 2) * (height + 2))
    return 'apart' if 2 * max(across, 0) * max(down, 0) < smaller else ''
