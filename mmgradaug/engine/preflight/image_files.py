"""Images of annotation files: which of them a data set takes, whether they are there and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import warn
from .coco_file import CocoFile
from .datasets import CocoUse


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
    use: CocoUse, datasets: Iterable[CocoUse], image_ids: Mapping[str, set[Any]]
) -> None:
    """Raise if an evaluator's file lacks images of a data set it judges, warn if it has more.

    Args:
        use: The evaluator.
        datasets: What it judges.
        image_ids: Ids of the images of each reader, by its key.

    Raises:
        ValueError: With the number of images, and the id of one.
    """
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
