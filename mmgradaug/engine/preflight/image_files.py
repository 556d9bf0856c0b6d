"""Images of annotation files: which of them a data set takes, whether they are there and judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import warn
from .coco_file import CocoFile
from .datasets import CocoUse


class Image(NamedTuple):
    """What tells an image of an annotation file from others.

    Attributes:
        name: Its ``file_name``.
        height: In pixels.
        width: In pixels.
    """

    name: str
    height: float
    width: float

    def __str__(self) -> str:
        return f'{self.name} ({self.height} x {self.width} pixels)'

    def is_same(self, other: Image) -> bool:
        """Whether another file's entry may be of the same image.

        Names may be of other folders, relative to another ``data_prefix``, or of another file
        type.
        """
        if self[1:] != other[1:]:
            return False
        if self.name == other.name:
            return True
        long, short = sorted(map(_parts, (self.name, other.name)), key=len, reverse=True)
        return long[-len(short) :] == short


def shown(entry: Mapping[str, Any]) -> Image:
    """The image that an entry of ``images`` is of."""
    return Image(entry['file_name'], entry['height'], entry['width'])


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name of a file, without its type."""
    return PurePosixPath(re.sub(r'\.[a-zA-Z]\w{1,4}$', '', name.replace('\\', '/'))).parts


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


def check_images(
    content: CocoFile, use: CocoUse, folder: Path, with_objects: set[Any], chosen: set[Any]
) -> None:
    """Raise if an image that will be loaded is not there.

    Args:
        content: The annotation file.
        use: Its reader.
        folder: Where the images are.
        with_objects: Ids of the images that have objects.
        chosen: Ids that ``indices`` leave.

    Raises:
        FileNotFoundError: With the number of them and the first.
        ValueError: If no image is left to load.
    """
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


def check_same_images(
    use: CocoUse, datasets: Sequence[CocoUse], images: Mapping[str, Mapping[Any, Image]]
) -> None:
    """Raise if an evaluator's file is not of the images of a data set it judges.

    Ids alone do not say so: those of every split may begin at 1.

    Args:
        use: The evaluator.
        datasets: What it judges.
        images: The images of each reader, by its key, by their ids.

    Raises:
        ValueError: If images are missing there, or others have their ids, with the number of
            them and one. Images that it has besides are warned of.
    """
    own = images[use.key]
    for dataset in datasets:
        predicted = images[dataset.key]
        missing = predicted.keys() - own.keys()
        of_it = f'of the {len(predicted)} images of {dataset.path} ({dataset.key})'
        fix = f'set {use.key}.ann_file to the annotation file of that data set'
        if missing:
            raise ValueError(
                f'{use.path} ({use.key}.ann_file) lacks {len(missing)} {of_it}, the first of id '
                f'{next(iter(missing))!r}: {fix}'
            )
        others = [key for key, image in predicted.items() if not image.is_same(own[key])]
        if others:
            key = others[0]
            raise ValueError(
                f'{use.path} ({use.key}.ann_file) has other images under the ids of {len(others)} '
                f'{of_it}, such as {own[key]} for {predicted[key]}, id {key!r}: {fix}'
            )
    _warn_of_more_images(use, datasets, images)


def _warn_of_more_images(
    use: CocoUse, datasets: Sequence[CocoUse], images: Mapping[str, Mapping[Any, Image]]
) -> None:
    """Warn of images of an evaluator's file that no data set has.

    ``CocoMetric`` evaluates every image of its file, those without a prediction, too.
    """
    more = images[use.key].keys() - {key for d in datasets for key in images[d.key]}
    if not more or not datasets:
        return
    subset = next((d for d in datasets if d.indices is not None), None)
    who = f'{subset.key}.indices' if subset else f'{datasets[0].path} ({datasets[0].key})'
    warn(
        f'{who} leaves out {len(more)} of the {len(images[use.key])} images '
        f'of {use.path} ({use.key}.ann_file), whose objects count as missed: for the metric of '
        f'the others alone, give {use.key} an annotation file of these'
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
