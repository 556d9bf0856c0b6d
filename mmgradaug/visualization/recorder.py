"""Watches training steps and keeps what each pass saw, as :class:`SubnetView`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from torch import Tensor, nn

from ..slimmable.layers import SlimConv
from .subnets import SubnetView

# RoIs and labels of a pass are drawn as objects from this overlap on, mmdet's usual threshold.
_POSITIVE_IOU = 0.5


@contextmanager
def recording_passes(model: nn.Module, image: int = 0) -> Iterator[list[SubnetView]]:
    """Within the context, every pass of ``model.train_step`` adds a view to the yielded list.

    Nothing but forward hooks is used, so the step is the one of training. The boxes are the RoIs
    that the box head pooled in that pass; for a detector without RoIs the labels, moved by the
    transform.

    Args:
        model: A detector with GradAug's training step.
        image: Which image of the batch to keep.

    Yields:
        The views in the order of the passes: the full network first.
    """
    recorder = _Recorder(model, image)
    with ExitStack() as stack:
        hook = model.register_forward_hook(recorder.after_pass, with_kwargs=True)
        stack.callback(hook.remove)
        extractor = getattr(getattr(model, 'roi_head', None), 'bbox_roi_extractor', None)
        # A cascade has an extractor for each stage; the first one pools the proposals.
        extractor = extractor[0] if isinstance(extractor, nn.ModuleList) else extractor
        if extractor is not None:
            hook = extractor.register_forward_pre_hook(recorder.before_pooling)
            stack.callback(hook.remove)
        yield recorder.views


class _Recorder:
    """Collects a view a pass: the pooled RoIs come first, then the pass that pooled them ends."""

    def __init__(self, model: nn.Module, image: int) -> None:
        self.views: list[SubnetView] = []
        self._model = model
        self._image = image
        self._rois: Tensor | None = None

    def before_pooling(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Keep the RoIs (R, 5) of an extractor's call ``(feats, rois)``."""
        self._rois = args[1].detach()

    def after_pass(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Turn a finished full or sub-network pass into a view; other modes are left alone."""
        rois, self._rois = self._rois, None
        if kwargs.get('mode') not in ('full', 'subnet'):
            return
        mapping = kwargs.get('mapping')
        instances = kwargs['data_samples'][self._image].gt_instances
        objects = get_box_tensor(instances.bboxes).detach()
        objects = objects if mapping is None else mapping.boxes(objects)
        boxes = objects if rois is None else rois[rois[:, 0] == self._image, 1:]
        self.views.append(
            SubnetView(
                image=kwargs['inputs'][self._image].detach().clone(),
                boxes=boxes.clone(),
                labels=labels_of(boxes, objects, instances.labels),
                width=1.0 if mapping is None else self._width(),
                scale=(1.0, 1.0) if mapping is None else mapping.scale,
                title=f'sub-network {len(self.views)}' if mapping else 'full network',
                boxes_are='labels' if rois is None else 'RoIs',
            )
        )

    def _width(self) -> float:
        """The width that the slimmable layers run at; 1.0 where there are none."""
        layers = (m for m in self._model.modules() if isinstance(m, SlimConv))
        return next((layer.width or 1.0 for layer in layers), 1.0)


def labels_of(boxes: Tensor, objects: Tensor, labels: Tensor) -> Tensor:
    """The class of the object that each box covers best, -1 where it covers none.

    Args:
        boxes: (N, 4) in pixels.
        objects: (M, 4) boxes of the labels, in the same pixels.
        labels: (M,) their classes.

    Returns:
        (N,) class indices; an overlap (IoU) below one half counts as background.
    """
    if not len(objects) or not len(boxes):
        return torch.full((len(boxes),), -1, dtype=torch.long)
    overlap, best = bbox_overlaps(boxes, objects).max(dim=1)
    return torch.where(overlap >= _POSITIVE_IOU, labels[best], -1)
