"""Which widths a run trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.errors import warn
from ..training import SubnetSampler
from ..type_names import type_name
from .source import Source


def warn_untrained(source: Source, widths: Sequence[float]) -> list[float]:
    """Warn of widths that the run of a checkpoint never trained.

    Args:
        source: The checkpoint. Without a config, or with another library's weights, nothing is
            known and nothing is said.
        widths: Those that are asked for.

    Returns:
        Those never trained.
    """
    if source.cfg is None or source.layout is not None:
        return []
    model = source.cfg.get('model') or {}
    reasons = {width: why_untrained(model, width) for width in widths}
    for reason in filter(None, reasons.values()):
        warn(reason)
    return [width for width, reason in reasons.items() if reason]


def why_untrained(model: Mapping[str, Any], width: float) -> str | None:
    """Why a model never trains a sub-network of a width; None if it may.

    Args:
        model: Its config.
        width: Share of the channels; 1 is the full network.

    Raises:
        ValueError: If an option of ``gradaug`` is out of its range.
    """
    known = inspect.signature(SubnetSampler).parameters
    options = {k: v for k, v in (model.get('gradaug') or {}).items() if k in known}
    sampler = SubnetSampler(**options if is_gradaug(model) else {'num_subnets': 0})
    if width >= (sampler.min_width - 1e-9 if sampler.num_subnets else 1):
        return None
    if not sampler.num_subnets:
        return f'width {width:g} was never trained: the run trained the full network alone'
    if sampler.shrink == 'depth':
        return (
            f"width {width:g} was never trained: gradaug.shrink='depth' of the run keeps all widths"
        )
    return (
        f'width {width:g} is below gradaug.min_width={sampler.min_width:g} of the run: it was '
        'never trained'
    )


def is_gradaug(model: Mapping[str, Any]) -> bool:
    """Whether a model's config asks for sub-networks; their options may be left out."""
    return 'GradAug' in type_name(model.get('type')) or not {'detector', 'gradaug'}.isdisjoint(
        model
    )
