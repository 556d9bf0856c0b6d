"""Numbers of classes: of heads among each other, and of heads and data sets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from mmdet.models.dense_heads import GARPNHead, RPNHead
from torch import nn

from ..error_text import listed
from .datasets import CocoUse

_HEADS = ('bbox_head', 'mask_head', 'mask_iou_head')


def check_class_names(uses: Iterable[CocoUse]) -> None:
    """Raise unless classes are a list of different names.

    Raises:
        ValueError: With the classes given.
    """
    for use in uses:
        names = use.classes
        if isinstance(names, str):
            raise ValueError(
                f'{use.key}.metainfo.classes is the text {names!r}, expected a list of names: '
                f'write classes=({names!r},), with the comma'
            )
        if not isinstance(names, (list, tuple)) or not names or len(set(names)) < len(names):
            raise ValueError(
                f'{use.key}.metainfo.classes is {names!r}, expected a list of different names'
            )


def check_class_places(named: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Raise if data sets whose labels are places in ``classes`` have a class at two places.

    Args:
        named: Key and classes of each such data set.

    Raises:
        ValueError: With both keys and places.
    """
    seen: dict[str, tuple[int, str]] = {}
    for key, names in named:
        for place, name in enumerate(names):
            other, first = seen.setdefault(name, (place, key))
            if other != place:
                raise ValueError(
                    f'class {name!r} has place {place} in {key}.metainfo.classes and {other} in '
                    f'{first}.metainfo.classes, which are its labels: give all data sets the same '
                    'classes in the same order'
                )


def misspelling_of(name: str, names: Iterable[str]) -> str | None:
    """The one of several names that a name is probably a misspelling of.

    Names that differ in case, spaces, ``_`` or ``-`` alone, or in a letter or two. Not those that
    differ in numbers or single letters (``grade_1``, ``grade_2``), nor short ones (house, horse).
    """
    others = list(names)
    for other in others:
        if _plain(other) == _plain(name):
            return other
    near = [o for o in others if abs(len(o) - len(name)) <= 1 and _words(o) != _words(name)]
    near = [o for o in near if o.isascii() and name.isascii()]  # elsewhere a sign is a word
    return next(iter(difflib.get_close_matches(name, near, n=1, cutoff=0.83)), None)


def _plain(name: str) -> str:
    """A name without case, spaces and signs."""
    return re.sub(r'[\W_]', '', name.casefold()) or name


def _words(name: str) -> list[str]:
    """A name's words of two letters or more."""
    return re.findall(r'[^\W\d_]{2,}', name.casefold())


def check_num_classes(model: nn.Module, uses: Iterable[CocoUse]) -> None:
    """Raise if heads and data sets disagree about the number of classes.

    Args:
        model: The detector.
        uses: The data sets of the run.

    Raises:
        ValueError: With every head's config key and value, and the data set's.
    """
    heads = dict(_num_classes(model))
    for use in uses:
        if use.open_vocabulary:
            continue
        number = len(use.classes)
        if any(value != number for value in heads.values()):
            said = ', '.join(f'{key}={value}' for key, value in heads.items())
            whose = '' if use.own_classes else "; these are its class's own, set metainfo.classes"
            raise ValueError(
                f'{said}, but {use.key} has {number} classes ({listed(use.classes, 4)}{whose}): '
                f'expected equal numbers; set num_classes={number} in all of these heads, or '
                'metainfo.classes to what they predict'
            )
    if len(set(heads.values())) > 1:
        said = ', '.join(f'{key}={value}' for key, value in heads.items())
        raise ValueError(f'{said}: expected equal numbers of classes in all of these heads')


def _num_classes(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Config key and value of each head's number of classes; defaults have theirs too."""
    for name, module in model.named_modules():
        parts = [part for part in name.split('.') if not part.isdigit()]
        if isinstance(module, (RPNHead, GARPNHead)):
            continue  # a detector that is nothing else calls it bbox_head; its class is "object"
        if parts and parts[-1] in _HEADS and isinstance(getattr(module, 'num_classes', None), int):
            yield f'model.{name}.num_classes', module.num_classes  # type: ignore[misc]
