"""Annotations against what a config makes of them: classes, labels, images, masks.

mmdet reads any file whose categories it does not know, drops every object of it, and trains to an
AP of 0. Here that stops the run; objects dropped one by one are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import warn
from .coco_file import CocoFile, read_coco, segmentation_fault
from .datasets import CocoUse

_DROPPED = {
    'image': 'name an image_id that the file does not have',
    'category': 'are of categories that metainfo.classes does not have ({}), or the file has not',
    'outside': 'have a box outside the image',
    'small': 'have an area of 0 or a box of less than one pixel',
    'invalid': 'have a segmentation without three points or a complete code; ignored, not learnt',
}

_BREAKS = {
    'absent': 'annotation {0} has no segmentation, which {1} needs for masks: add it, or train '
    'boxes alone (a detector without mask head, with_mask=False, metric="bbox")',
    'size': "annotation {0} has a run-length code whose size is not its image's [height, width] "
    '({1}): mend the code or the image entry',
    'iscrowd': 'annotation {0} has no iscrowd, which {1} needs: add "iscrowd": 0',
}


def check_annotations(uses: Iterable[CocoUse]) -> None:
    """Check each annotation file against all that read it.

    A file is read once, however many read it, and forgotten before the next.

    Args:
        uses: The data sets and evaluators of a run.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is not of COCO's format, has no object of the data set's classes to
            train on or to compare with, gives the same class another label than another file,
            or names images that are not there. Objects that mmdet drops are warned of.
    """
    readers: dict[Path, list[CocoUse]] = {}
    for use in uses:
        readers.setdefault(use.path.resolve(), []).append(use)
    labels: dict[str, tuple[int, CocoUse]] = {}
    image_ids: dict[Path, set[Any]] = {}
    for path, own in readers.items():
        content = read_coco(path)
        for use in own:
            own_labels = label_of_names(content, use)
            if not use.open_vocabulary:  # there, labels are places in each image's own text
                _check_same_labels(use, own_labels, labels)
            _check_use(content, use)
        image_ids[path] = set(content.images)
    every = [use for own in readers.values() for use in own]
    for use in every:
        if use.evaluator:
            _check_same_images(use, every, image_ids)


def label_of_names(content: CocoFile, use: CocoUse) -> dict[str, int]:
    """The label mmdet gives each class: its place among the file's categories, not in ``classes``.

    Raises:
        ValueError: If no category, or more than one, is of a class.
    """
    names = [name for name in content.categories.values() if name in use.classes]
    where = f'{content.path} ({use.key})'
    if not names:
        source = 'metainfo.classes' if use.own_classes else "the data set class's own classes"
        raise ValueError(
            f'{where} has the categories {_listed(content.categories.values())}, none of them in '
            f'{source} ({_listed(use.classes)}): set metainfo=dict(classes=...) to the names of '
            'the file, and num_classes of the heads to their number'
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f'{where} has several categories named {_listed(twice)}, expected one of each name: '
            'merge them'
        )
    labels = {name: label for label, name in enumerate(names)}
    moved = [n for n, label in labels.items() if list(use.classes).index(n) != label]
    if moved and not use.evaluator:
        warn(
            f'{where} has the categories {_listed(names)}, metainfo.classes is '
            f'{_listed(use.classes)}: mmdet numbers classes in the order of the file, so '
            f'predictions of {_listed(moved)} will bear other names; use the same order and names'
        )
    return labels


def _check_same_labels(
    use: CocoUse, labels: dict[str, int], seen: dict[str, tuple[int, CocoUse]]
) -> None:
    """Raise if a file gives a class another label than an earlier one."""
    for name, label in labels.items():
        other, first = seen.setdefault(name, (label, use))
        if other != label:
            raise ValueError(
                f'class {name!r} has label {label} in {use.path} ({use.key}) and {other} in '
                f"{first.path} ({first.key}): mmdet numbers classes in the order of the file's "
                'categories; give all files the same categories in the same order'
            )


def _check_same_images(
    use: CocoUse, uses: Iterable[CocoUse], image_ids: Mapping[Path, set[Any]]
) -> None:
    """Raise if an evaluator's file lacks images of a data set it judges."""
    loop = use.key.split('_')[0]
    for dataset in uses:
        if dataset.evaluator or not dataset.key.startswith(f'{loop}_'):
            continue
        predicted = image_ids[dataset.path.resolve()]
        missing = predicted - image_ids[use.path.resolve()]
        if missing:
            raise ValueError(
                f'{use.path} ({use.key}.ann_file) lacks {len(missing)} of the {len(predicted)} '
                f'images of {dataset.path} ({dataset.key}), the first of id '
                f'{next(iter(missing))!r}: set {use.key}.ann_file to the annotation file of that '
                'data set'
            )


def _check_use(content: CocoFile, use: CocoUse) -> None:
    """Check objects and image files of one reader."""
    known = {key for key, name in content.categories.items() if name in use.classes}
    faults: Counter[str] = Counter()
    with_objects = set()
    for annotation in content.annotations:
        fault = _fault(annotation, content, use, known)
        faults[fault or 'kept'] += 1
        if fault in (None, 'invalid', 'crowd'):
            with_objects.add(annotation['image_id'])
        elif fault in _BREAKS:
            raise ValueError(f'{content.path}: {_BREAKS[fault].format(annotation["id"], use.key)}')
    if (use.training or use.evaluator) and not faults['kept']:
        purpose = 'train on' if use.training else 'compare predictions with'
        text = f'{content.path} ({use.key}) has no object to {purpose}: {_summary(faults, use)}'
        wanted = use.training and not (use.filter_cfg or {}).get('filter_empty_gt')
        if content.annotations or not wanted:
            raise ValueError(text)
        warn(text)  # images without objects were asked for, as for semi-supervised training
    if use.training:
        for fault in _DROPPED:
            if faults[fault]:
                warn(f'{content.path} ({use.key}): {_counted(fault, faults, use)}')
    if use.folder is not None:
        _check_images(content, use, use.folder, with_objects)


def _fault(
    annotation: dict[str, Any], content: CocoFile, use: CocoUse, known: set[Any]
) -> str | None:
    """Why mmdet leaves an object out, or would stop at it; None if it is fine."""
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
    else:
        x, y, width, height = annotation['bbox']
        if not (x < image['width'] and y < image['height'] and x + width > 0 and y + height > 0):
            return 'outside'
        if annotation['area'] <= 0 or width < 1 or height < 1:
            return 'small'
    fault = segmentation_fault(annotation.get('segmentation'), image) if use.masks else None
    return 'crowd' if fault is None and use.training and annotation.get('iscrowd') else fault


def _check_images(content: CocoFile, use: CocoUse, folder: Path, with_objects: set[Any]) -> None:
    """Raise if an image that will be loaded is not there."""
    rule = use.filter_cfg or {}
    least = rule.get('min_size', 0) if use.training else 0
    every = not (use.training and rule.get('filter_empty_gt'))
    names = [
        image['file_name']
        for key, image in content.images.items()
        if (every or key in with_objects) and min(image['width'], image['height']) >= least
    ]
    if not names:
        raise ValueError(
            f'{content.path} ({use.key}) has no image to load out of {len(content.images)}: '
            f'filter_cfg={dict(rule)} leaves those out that are smaller or have no object'
        )
    missing = _missing(folder, names)
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(names)} images that {content.path} names are not in '
            f'{folder.absolute()} ({use.key}.data_prefix.img), the first is {missing[0]}: get '
            'them, or set data_prefix to where they are'
        )


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Names of files that are not there.

    Each folder is listed once, which asks less of a network disk than every file.
    """
    listed: dict[Path, set[str]] = {}
    missing = []
    for name in names:
        path = folder / name
        parent = path.parent
        if parent not in listed:
            listed[parent] = set(_list(parent))
        if path.name not in listed[parent]:
            missing.append(name)
    return missing


def _list(folder: Path) -> Iterable[str]:
    """Names in a folder; none if there is no such folder."""
    return (path.name for path in folder.iterdir()) if folder.is_dir() else ()


def _counted(fault: str, faults: Counter[str], use: CocoUse) -> str:
    """A fault in words with its count."""
    text = _DROPPED[fault].format(_listed(use.classes))
    return f'{faults[fault]} of {faults.total()} annotations {text}'


def _summary(faults: Counter[str], use: CocoUse) -> str:
    """All faults in words."""
    words = [_counted(fault, faults, use) for fault in _DROPPED if faults[fault]]
    if faults['crowd']:
        words.append(f'{faults["crowd"]} of {faults.total()} annotations are crowd regions')
    return '; '.join(words) or f'{faults.total()} annotations'


def _listed(names: Iterable[Any], most: int = 8) -> str:
    """Names, the first few of many."""
    found = [str(name) for name in names]
    rest = f', ... ({len(found)} in all)' if len(found) > most else ''
    return (', '.join(found[:most]) or 'none') + rest
