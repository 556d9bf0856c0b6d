"""Categories of annotation files against the classes of a config: their names and labels."""

from __future__ import annotations

from collections import Counter

from ..error_text import listed
from ..errors import warn
from .classes import misspelling_of
from .coco_file import CocoFile
from .datasets import CocoUse


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
            f'{where} has the categories {listed(content.categories.values())}, none of them in '
            f'{source} ({listed(use.classes)}): set metainfo=dict(classes=...) to the names of '
            'the file, and num_classes of the heads to their number'
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f'{where} has several categories named {listed(twice)}, expected one of each name: '
            'merge them'
        )
    _check_absent(content, use, names)
    labels = {name: label for label, name in enumerate(names)}
    moved = [n for n, label in labels.items() if list(use.classes).index(n) != label]
    if moved and not use.evaluator:
        warn(
            f'{where} has the categories {listed(names)}, metainfo.classes is '
            f'{listed(use.classes)}: mmdet numbers classes in the order of the file, so '
            f'predictions of {listed(moved)} will bear other names; use the same order and names'
        )
    return labels


def check_same_labels(
    use: CocoUse, labels: dict[str, int], seen: dict[str, tuple[int, CocoUse]]
) -> None:
    """Raise if a file gives a class another label than an earlier one.

    Args:
        use: The reader of the file.
        labels: What :func:`label_of_names` says of it.
        seen: Label of each class and where it was first; filled here.

    Raises:
        ValueError: With both files and labels.
    """
    for name, label in labels.items():
        other, first = seen.setdefault(name, (label, use))
        if other != label:
            raise ValueError(
                f'class {name!r} has label {label} in {use.path} ({use.key}) and {other} in '
                f"{first.path} ({first.key}): mmdet numbers classes in the order of the file's "
                'categories; give all files the same categories in the same order'
            )


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
            f'{where} has no category {listed(absent)}, a class of metainfo.classes: it will not '
            f'be learnt here. The file has the categories {listed(content.categories.values())}'
        )
