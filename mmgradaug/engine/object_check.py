"""Check the objects of annotation files: those that mmdet leaves out, and outlines off their boxes.

Polygons divided by the image's size, outlines of a larger image or with width and height swapped,
and boxes written as two corners train without an error, to masks or boxes of something else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from pycocotools import mask as rle

from ..errors import ConfigError, listed
from .cli import warn


def mask_loader(dataset: Any) -> Any:
    """Return the transform of a data set that loads masks, or None."""
    steps = dataset.pipeline.transforms
    return next((step for step in steps if getattr(step, 'with_mask', False)), None)


def check_objects(datasets: Mapping[str, Any], read: Any, others: bool) -> None:
    """Check the objects of the loaded training data sets; warn of those that are not learnt.

    ``read`` returns the contents of an annotation file; ``others`` says that there are more data
    sets, which may have objects.

    Raises:
        ConfigError: If no image has an object left, or most outlines do not meet their boxes.
    """
    told, taught = [], others
    objects: Counter[str] = Counter()
    for where, dataset in datasets.items():
        coco = read(dataset.ann_file)
        masks = mask_loader(dataset)
        reasons = {i: _reason(a, coco, dataset.cat2label, masks) for i, a in coco.anns.items()}
        counts = Counter(filter(None, reasons.values()))
        dropped = ', '.join(f'{n} {reason}' for reason, n in counts.items())
        told.append(f'{where}: {dropped or 0} of {len(coco.anns)} annotations are not learnt')
        learnt = [annotation for i, annotation in coco.anns.items() if not reasons[i]]
        apart = check_outlines(where, learnt, masks is not None)
        if dropped or apart:
            warn(told[-1] + apart)
        # Asked for by filter_empty_gt=False: images without any.
        taught |= (dataset.filter_cfg or {}).get('filter_empty_gt') is False
        kept = {info['img_id'] for info in dataset.data_list}
        taught |= any(annotation['image_id'] in kept for annotation in learnt)
        objects.update({coco.cats[i]['name']: 0 for i in dataset.cat2label})
        objects.update(coco.cats[annotation['category_id']]['name'] for annotation in learnt)
    if datasets and not taught:
        raise ConfigError(
            f'no training image has an object left ({"; ".join(told)}): label the objects, or set '
            'filter_cfg=dict(filter_empty_gt=False) if images without any are meant'
        )
    if not others and (names := [name for name, count in objects.items() if not count]):
        warn(
            f'no training object of {listed(names)}: if that is no kind of object but names the '
            'data set, take it out of metainfo.classes'
        )


def _reason(annotation: Mapping, coco: COCO, known: Mapping[Any, int], masks: Any) -> str:
    """Return why mmdet does not train on an annotation; empty if it does."""
    image = coco.imgs.get(annotation['image_id'])
    if image is None:
        return 'of unknown images'
    if annotation.get('ignore'):
        return "marked 'ignore'"
    if annotation['category_id'] not in known:
        return 'of other categories than metainfo.classes'
    x, y, width, height = annotation['bbox']
    inside = x < image['width'] and y < image['height'] and x + width > 0 and y + height > 0
    if not inside or annotation['area'] <= 0 or width < 1 or height < 1:  # NaN is nowhere inside
        return 'with a box beside the image or without area'
    if annotation.get('iscrowd'):
        return 'marked as crowds'
    outline = annotation.get('segmentation')
    coded = isinstance(outline, dict) and 'counts' in outline
    if not masks or (coded and getattr(masks, 'poly2mask', True)):  # a user's loader may lack it
        return ''
    return '' if _polygons(outline) else 'without a polygon of three points'


def check_outlines(where: str, objects: Iterable[Mapping[str, Any]], masks: bool) -> str:
    """Check that the outlines of objects meet their boxes; return how many do not, for a warning.

    Where no ``masks`` are used, outlines still tell boxes written as corners.

    Raises:
        ConfigError: If most do not.
    """
    found = [annotation for annotation in objects if not annotation.get('iscrowd')]
    found = found[:: len(found) // 100_000 + 1]  # evenly spread; so many take seconds
    misfits = [(misfit, a) for a in found if (misfit := _misfit(a))]
    told = f'outlines or areas of {len(misfits)} of {len(found)} objects do not meet their boxes'
    if 2 * sum(masks or misfit == 'corners' for misfit, _ in misfits) > len(found):
        _, first = misfits[0]
        raise ConfigError(
            f'{where}: {told}, first of annotation {first["id"]!r} with bbox={first["bbox"]}: '
            'write boxes as [x, y, width, height], not as corners, and both in pixels of the '
            'image, not divided by its size nor of an image of another size'
        )
    return f'; {told}' if misfits else ''


def _misfit(annotation: Mapping[str, Any]) -> str:
    """Return how the outline of an object misses its box, empty if it does not.

    Either may lie within the other, as where objects are cut or boxes wide. A pixel is nothing.
    Without an outline, the area still tells boxes written as corners.
    """
    (x, y, width, height), area = annotation['bbox'], annotation['area']
    extent = _extent(annotation.get('segmentation'))
    if extent is None:
        as_corners = max(width - x, 0) * max(height - y, 0)
        written_so = abs(as_corners - area) < 1 <= min(area, abs(width * height - area))
        return 'corners' if written_so else ''
    left, top, right, bottom = extent
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
    parts = [p for p in _polygons(outline) if all(isinstance(v, (int, float)) for v in p)]
    xs, ys = [x for p in parts for x in p[::2]], [y for p in parts for y in p[1::2]]
    return (min(xs), min(ys), max(xs), max(ys)) if parts else None


def _polygons(outline: Any) -> list[list[Any]]:
    """Return the polygons of three points or more that an outline has."""
    parts = outline if isinstance(outline, list) else []
    return [p for p in parts if isinstance(p, list) and len(p) > 5 and len(p) % 2 == 0]
