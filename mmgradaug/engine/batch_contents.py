"""Batches that lack what a model trains on, which mmdet reports as a missing attribute or key."""

from __future__ import annotations

import re

from .error_origin import frames_of

# What the transforms of a pipeline put into a sample, and what does so.
_LABELS = {
    'bboxes': 'with_bbox=True',
    'labels': 'with_label=True',
    'masks': 'with_mask=True',
    'gt_instances': 'with_bbox=True',
    'gt_sem_seg': 'with_seg=True',
}
_NO_LABEL = re.compile(r"'(?:InstanceData|DetDataSample)' object has no attribute '(\w+)'")


def lacking(error: BaseException) -> str | None:
    """What to tell if an error came from a batch without images or without labels; else None.

    Args:
        error: What stopped a run.
    """
    if isinstance(error, KeyError) and error.args and error.args[0] in ('inputs', 'data_samples'):
        functions = {frame.f_code.co_name for frame in frames_of(error)}
        if functions & {'train_step', 'val_step', 'test_step', 'gradaug_step'}:
            return (
                f'the batches that the pipeline makes have no {error.args[0]!r}: end the pipeline '
                "of train_dataloader.dataset with dict(type='PackDetInputs')"
            )
    found = _NO_LABEL.search(str(error)) if isinstance(error, AttributeError) else None
    if found is None or found[1] not in _LABELS:
        return None
    return (
        f'the samples that the pipeline makes have no {found[1]!r}, which this model trains on: '
        f"give the pipeline dict(type='LoadAnnotations', {_LABELS[found[1]]}) and PackDetInputs, "
        'or take a model that does without'
    )
