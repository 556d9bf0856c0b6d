"""What box coders have to offer where images turn."""

from __future__ import annotations

from typing import Any

from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder

XYWH = (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder)


def require_turnable(coder: Any, turns: frozenset[int]) -> None:
    """Raise unless turned deltas are deltas of the turned boxes.

    Args:
        coder: The box coder of a head.
        turns: Quarter turns that images may make, 0 to 3.

    Raises:
        ValueError: If deltas are not of centre and size, if their means are not zero, or if
            their standard deviations differ in x and y and images turn by 90 degrees.
    """
    if not turns - {0}:
        return
    means, stds = getattr(coder, 'means', (0,) * 4), getattr(coder, 'stds', (1,) * 4)
    sideways = any(turn % 2 for turn in turns) and (stds[0] != stds[1] or stds[2] != stds[3])
    if not isinstance(coder, XYWH) or any(means) or sideways:
        raise ValueError(
            f'box deltas of {type(coder).__name__} with means {means} and stds {stds} cannot be '
            'turned with the image, expected deltas of centre and size with zero means and equal '
            'stds in x and y: change bbox_coder, or drop RandomRotate from gradaug.transform'
        )
