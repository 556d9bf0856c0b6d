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
from .classes import misspelling_of
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
    'size': "annotation {0} has a run-length code that is not of its image's [height, width] "
    '({1}): mend the code or the image entry',
    'text': 'annotation {0!r} has text for an id, expected a number, which {1} (pycocotools) needs '
    'to compare predictions: number the annotations',
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
    image_ids: dict[str, set[Any]] = {}
    for path, own in readers.items():
        content = read_coco(path)
        for use in own:
            own_labels = label_of_names(content, use)
            if not use.open_vocabulary:  # there, labels are places in each image's own text
                _check_same_labels(use, own_labels, labels)
            image_ids[use.key] = _check_use(content, use)
    every = [use for own in readers.values() for use in own]
    for use in every:
        if use.evaluator:
            loop = use.key.split('_')[0]
            judged = [u for u in every if not u.evaluator and u.key.startswith(f'{loop}_')]
            _check_same_images(use, judged, image_ids)


def label_of_names(content: CocoFile, use: CocoUse) -> dict[str, int]:
    """The label mmdet gives each class: its place among the file's categories, not in ``classes``.

    Raises:
        ValueError: If no category, or more than one, is of a class, or a class is misspelt.
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
    _check_absent(content, use, names)
    labels = {name: label for label, name in enumerate(names)}
    moved = [n for n, label in labels.items() if list(use.classes).index(n) != label]
    if moved and not use.evaluator:
        warn(
            f'{where} has the categories {_listed(names)}, metainfo.classes is '
            f'{_listed(use.classes)}: mmdet numbers classes in the order of the file, so '
            f'predictions of {_listed(moved)} will bear other names; use the same order and names'
        )
    return labels


def _check_absent(content: CocoFile, use: CocoUse, found: list[str]) -> None:
    """Raise on classes whose name in the file is spelt otherwise, warn of those it has not."""
    absent = [str(name) for name in use.classes if name not in found]
    if use.open_vocabulary or not absent:
        return
    where = f'{content.path} ({use.key})'
    others = [name for name in content.categories.values() if name not in use.classes]
    for name in absent:
        meant = misspelling_of(name, others)
        if meant is not None:
            raise ValueError(
                f'{where} has no category {name!r}, a class of metainfo.classes, but {meant!r}, '
                'whose objects would be left out: write both alike. If they are two things, take '
                f'{name!r} out of metainfo.classes, or set check_annotations=False'
            )
    if use.training:
        warn(
            f'{where} has no category {_listed(absent)}, a class of metainfo.classes: it will not '
            f'be learnt here. The file has the categories {_listed(content.categories.values())}'
        )


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
    use: CocoUse, datasets: Iterable[CocoUse], image_ids: Mapping[str, set[Any]]
) -> None:
    """Raise if an evaluator's file lacks images of a data set it judges, warn if it has more."""
    for dataset in datasets:
        predicted = image_ids[dataset.key]
        missing = predicted - image_ids[use.key]
        if missing:
            raise ValueError(
                f'{use.path} ({use.key}.ann_file) lacks {len(missing)} of the {len(predicted)} '
                f'images of {dataset.path} ({dataset.key}), the first of id '
                f'{next(iter(missing))!r}: set {use.key}.ann_file to the annotation file of that '
                'data set'
            )
    subsets = [dataset for dataset in datasets if dataset.indices is not None]
    others = image_ids[use.key].difference(*(image_ids[dataset.key] for dataset in datasets))
    if subsets and others:
        warn(
            f'{subsets[0].key}.indices leaves out {len(others)} of the {len(image_ids[use.key])} '
            f'images of {use.path} ({use.key}.ann_file), whose objects count as missed: for the '
            f'metric of the others alone, give {use.key} an annotation file of these'
        )


def _check_use(content: CocoFile, use: CocoUse) -> set[Any]:
    """Check objects and image files of one reader; return the ids of its images."""
    known = {key for key, name in content.categories.items() if name in use.classes}
    chosen = chosen_images(content, use, known)
    faults: Counter[str] = Counter()
    with_objects = set()
    for annotation in content.annotations:
        image_id = annotation['image_id']
        if image_id in content.images and image_id not in chosen:
            continue
        fault = _fault(annotation, content, use, known)
        faults[fault or 'kept'] += 1
        if fault in (None, 'invalid', 'crowd'):
            with_objects.add(image_id)
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
        _check_images(content, use, use.folder, with_objects & chosen, chosen)
    return chosen


def chosen_images(content: CocoFile, use: CocoUse, known: set[Any]) -> set[Any]:
    """Ids of the images that ``indices`` choose among those that ``filter_cfg`` leaves; else all.

    Args:
        content: The annotation file.
        use: Its reader.
        known: Ids of the categories that are among its classes.

    Raises:
        ValueError: If ``indices`` are none, or beyond the images that are left.
    """
    indices, rule = use.indices, use.filter_cfg or {} if use.training else {}
    if indices is None:
        return set(content.images)
    labelled = {a['image_id'] for a in content.annotations if a['category_id'] in known}
    left = [
        key
        for key, image in content.images.items()
        if (key in labelled or not rule.get('filter_empty_gt'))
        and min(image['width'], image['height']) >= rule.get('min_size', 0)
    ]
    if isinstance(indices, int):
        return set(left[:indices] if indices >= 0 else left[indices:])
    try:
        return {left[index] for index in indices}
    except (TypeError, IndexError) as error:
        raise ValueError(
            f'{use.key}.indices={indices!r}, expected a number of images, or places (from 0) among '
            f'the {len(left)} images of {content.path} that filter_cfg leaves'
        ) from error


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
        if not _is_numeric(annotation['id']):
            return 'text'
    else:
        x, y, width, height = annotation['bbox']
        if not (x < image['width'] and y < image['height'] and x + width > 0 and y + height > 0):
            return 'outside'
        if annotation['area'] <= 0 or width < 1 or height < 1:
            return 'small'
    fault = segmentation_fault(annotation.get('segmentation'), image) if use.masks else None
    return 'crowd' if fault is None and use.training and annotation.get('iscrowd') else fault


def _is_numeric(value: Any) -> bool:
    """Whether pycocotools can put an id into an array of numbers."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def _check_images(
    content: CocoFile, use: CocoUse, folder: Path, with_objects: set[Any], chosen: set[Any]
) -> None:
    """Raise if an image that will be loaded is not there."""
    rule = use.filter_cfg or {}
    least = rule.get('min_size', 0) if use.training else 0
    every = not (use.training and rule.get('filter_empty_gt'))
    names = [
        image['file_name']
        for key, image in content.images.items()
        if key in (chosen if every else with_objects)
        and min(image['width'], image['height']) >= least
    ]
    if not names:
        only = '' if use.indices is None else f' and indices={use.indices!r}'
        raise ValueError(
            f'{content.path} ({use.key}) has no image to load out of {len(content.images)}: '
            f'filter_cfg={dict(rule)}{only} leaves those out that are smaller or have no object'
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
