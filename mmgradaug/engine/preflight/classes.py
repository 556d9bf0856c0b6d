"""Numbers of classes: of heads among each other, and of heads and data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmdet.models.dense_heads import GARPNHead, RPNHead
from torch import nn

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
            names = ', '.join(map(str, use.classes[:4])) + (', ...' if number > 4 else '')
            raise ValueError(
                f'{said}, but {use.key} has {number} classes ({names}{whose}): expected equal '
                f'numbers; set num_classes={number} in all of these heads, or metainfo.classes to '
                'what they predict'
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
