"""Annotations against what a config makes of them: classes, labels, images, masks.

mmdet reads any file whose categories it does not know, drops every object of it, and trains to an
AP of 0. Here that stops the run; objects dropped one by one are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import warn
from .boxes import warn_of_boxes_beyond
from .coco_file import CocoFile, read_coco
from .datasets import CocoUse
from .image_files import Image, check_images, check_same_images, chosen_images, shown
from .labels import check_same_labels, label_of_names
from .objects import BREAKS, DROPPED, KEPT, counted, fault_of, summary


class _Found(NamedTuple):
    """What is kept of an annotation file once it is checked for one of its readers.

    Attributes:
        images: The images that the reader takes, by id.
        nothing: What to tell of it, if it has no object for its reader; else None.
    """

    images: dict[Any, Image]
    nothing: str | None


def check_annotations(uses: Iterable[CocoUse]) -> None:
    """Check each annotation file against all that read it.

    A file is read once, however many read it, and forgotten before the next.

    Args:
        uses: The data sets and evaluators of a run.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is not of COCO's format, has no object of the data set's classes to
            train on or to compare with, gives the same class another label than another file,
            names images that are not there, or judges other images than are predicted on.
            Objects that mmdet drops are warned of, and boxes that look like another format's.
    """
    readers: dict[Path, list[CocoUse]] = {}
    for use in uses:
        readers.setdefault(use.path.resolve(), []).append(use)
    labels: dict[str, tuple[int, CocoUse]] = {}
    found: dict[str, _Found] = {}
    for path, own in readers.items():
        content = read_coco(path)
        warn_of_boxes_beyond(content, own[0].key)
        for use in own:
            own_labels = label_of_names(content, use)
            if not use.open_vocabulary:  # there, labels are places in each image's own text
                check_same_labels(use, own_labels, labels)
            found[use.key] = _check_use(content, use)
    every = [use for own in readers.values() for use in own]
    _check_something_to_learn([(u, found[u.key].nothing) for u in every if u.training])
    images = {key: one.images for key, one in found.items()}
    for use in every:
        if use.evaluator:
            loop = use.key.split('_')[0]
            judged = [u for u in every if not u.evaluator and u.key.startswith(f'{loop}_')]
            check_same_images(use, judged, images)


def _check_use(content: CocoFile, use: CocoUse) -> _Found:
    """Check objects and image files of one reader."""
    known = {key for key, name in content.categories.items() if name in use.classes}
    chosen = chosen_images(content, use, known)
    faults: Counter[str] = Counter()
    with_objects = set()
    for annotation in content.annotations:
        image_id = annotation['image_id']
        if image_id in content.images and image_id not in chosen:
            continue
        fault = fault_of(annotation, content, use, known)
        faults[fault] += 1
        if fault in BREAKS:
            raise ValueError(f'{content.path}: {BREAKS[fault].format(annotation["id"], use.key)}')
        if fault in (KEPT, 'invalid', 'crowd'):
            with_objects.add(image_id)
    nothing = None if faults[KEPT] else _nothing(content, use, faults)
    if use.training:
        for fault in DROPPED:
            if faults[fault]:
                warn(f'{content.path} ({use.key}): {counted(fault, faults, use)}')
    if use.folder is not None:
        check_images(content, use, use.folder, with_objects & chosen, chosen)
    return _Found({key: shown(content.images[key]) for key in chosen}, nothing)


def _nothing(content: CocoFile, use: CocoUse, faults: Counter[str]) -> str | None:
    """What to tell of a reader that has no object to work with, if it needs any.

    Raises:
        ValueError: If it has none because all of them are dropped, or images without objects
            are left out: then nobody meant it so.
    """
    if not (use.training or use.evaluator):
        return None
    purpose = 'train on' if use.training else 'compare predictions with'
    text = f'{content.path} ({use.key}) has no object to {purpose}: {summary(faults, use)}'
    if content.annotations or use.evaluator or (use.filter_cfg or {}).get('filter_empty_gt'):
        raise ValueError(text)
    return text


def _check_something_to_learn(nothing: Sequence[tuple[CocoUse, str | None]]) -> None:
    """Raise if no training data have objects, unless that was asked for; warn of those that lack.

    Images of nothing beside others teach what is no object. ``filter_empty_gt=False`` asks for
    images without objects, as the unlabelled part of semi-supervised data does.

    Args:
        nothing: Training data sets, and what to tell of each; None where it has objects.
    """
    told = [(use, text) for use, text in nothing if text is not None]
    for use, text in told:
        asked = (use.filter_cfg or {}).get('filter_empty_gt') is False
        if len(told) == len(nothing) and not asked:
            raise ValueError(
                f'{text}: label the objects, or set filter_cfg=dict(filter_empty_gt=False) if '
                'images without any are meant'
            )
        warn(text)
