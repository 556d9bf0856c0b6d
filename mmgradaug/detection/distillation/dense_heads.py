"""What each family of mmdet's dense heads gives per level, and what its losses train."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from mmdet.models import dense_heads as mmdet_heads
from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    TBLRBBoxCoder,
)
from torch import Tensor, nn

from .base import has_stock_methods
from .dense_outputs import (
    Deltas,
    Distances,
    LogDistances,
    SideDistributions,
    SigmoidScores,
    SoftmaxScores,
    read_cell_boxes,
    read_distances,
    read_expected_distances,
    read_point_sets,
)
from .scale_space import PriorPyramid

CLS, BBOX, QUALITY, DFL = 'cls', 'bbox', 'quality', 'dfl'
METHODS = ('forward', 'forward_single', 'loss', 'loss_by_feat', 'loss_by_feat_single')


@dataclass(frozen=True)
class DenseOutput:
    """One output of a dense head, or one way to look at it."""

    name: str  # in the log, that of mmdet's loss without `loss_`
    key: str  # its target in `gradaug.distill`: class, box, quality or distribution
    index: int  # its place in what the head's forward returns
    kind: Any  # what it means
    in_pixels: bool = False  # whether lengths are in pixels, instead of the priors' size
    loss: str = 'loss_bbox'  # attribute of the head whose `loss_weight` the soft loss takes


@dataclass(frozen=True)
class HeadSpec:
    """What a dense head's forward gives and ``loss_by_feat`` returns."""

    outputs: Sequence[DenseOutput]  # class scores first
    # Of each loss that has no output's name, which keys it trains.
    joint_losses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    objectness: bool = False  # whether class scores mean something only where the quality is high


def head_spec(head: nn.Module) -> HeadSpec | None:
    """Return the form of a head's outputs; None unless it is one of mmdet's known ones.

    A subclass that overrides how outputs or losses are computed is not known, nor is a head
    whose priors differ by more than their size from scale to scale.
    """
    for family, spec_of in FAMILIES.items():
        methods = tuple(method for method in METHODS if hasattr(family, method))
        if has_stock_methods(head, (family,), methods):
            return spec_of(head) if PriorPyramid.of(head.prior_generator) else None
    return None


def _cls(head: Any, **options: Any) -> DenseOutput:
    """Return class scores, as the head's loss takes them."""
    kind = SigmoidScores if head.use_sigmoid_cls else SoftmaxScores
    return DenseOutput('cls', CLS, 0, kind(head.cls_out_channels, **options), loss='loss_cls')


def _bbox(read: Callable[..., Tensor], in_pixels: bool = False, **options: Any) -> DenseOutput:
    """Return boxes as distances to their sides, the second of a head's outputs."""
    return DenseOutput('bbox', BBOX, 1, Distances(partial(read, **options)), in_pixels)


def _quality(name: str, loss: str) -> DenseOutput:
    """Return a probability beside the class scores, such as centerness."""
    return DenseOutput(name, QUALITY, 2, SigmoidScores(), loss=loss)


CENTERNESS = _quality('centerness', 'loss_centerness')


def _anchors(head: Any, *, quality: DenseOutput | None = None, **options: Any) -> HeadSpec | None:
    """Return scores, and boxes as the head's coder codes them relative to anchors."""
    coder = head.bbox_coder
    if isinstance(coder, (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder)):
        kind = Deltas(tuple(coder.means), tuple(coder.stds))
        boxes = DenseOutput('bbox', BBOX, 1, kind)
    elif isinstance(coder, TBLRBBoxCoder) and isinstance(coder.normalizer, (int, float)):
        # Top, bottom, left and right in units of the anchor's height and width.
        boxes = _bbox(read_distances, order=(2, 0, 3, 1), unit=float(coder.normalizer))
    else:
        return None
    return HeadSpec([_cls(head), boxes, *([quality] if quality else [])], **options)


def _gfl(head: Any) -> HeadSpec:
    """Return scores, and distributions over the distances to the box's sides."""
    bins = head.reg_max + 1
    dfl = DenseOutput('dfl', DFL, 1, SideDistributions(bins), loss='loss_dfl')
    return HeadSpec([_cls(head), _bbox(read_expected_distances, bins=bins), dfl])


def _tood(head: Any) -> HeadSpec:
    """Return probabilities, and boxes in cells."""
    boxes = _bbox(read_cell_boxes, offset=head.prior_generator.center_offset)
    return HeadSpec([_cls(head, activated=True), boxes])


def _distances(head: Any, in_pixels: bool = False) -> HeadSpec:
    """Return scores, and distances in cells or in pixels."""
    return HeadSpec([_cls(head), _bbox(read_distances, in_pixels)])


def _fcos(head: Any) -> HeadSpec:
    """Return scores, distances in cells or in pixels, and centerness."""
    return HeadSpec([_cls(head), _bbox(read_distances, not head.norm_on_bbox), CENTERNESS])


def _auto_assign(head: Any) -> HeadSpec:
    """Return scores, distances in pixels and objectness, under losses that train them together."""
    quality = _quality('objectness', 'loss_centerness')
    joint = dict.fromkeys(('pos', 'neg', 'center'), (CLS, BBOX, QUALITY))
    return HeadSpec([_cls(head), _bbox(read_distances, True), quality], joint, objectness=True)


def _fovea(head: Any) -> HeadSpec | None:
    """Return scores, and logarithms of distances in units that grow with the strides."""
    pairs = zip(head.base_edge_list, head.prior_generator.strides, strict=False)
    units = torch.tensor([edge / stride[0] for edge, stride in pairs])
    if not torch.allclose(units, units[0]):
        return None
    return HeadSpec([_cls(head), DenseOutput('bbox', BBOX, 1, LogDistances(read_distances))])


def _rep_points(head: Any) -> HeadSpec:
    """Return scores, and two sets of points in cells."""
    points = Distances(partial(read_point_sets, head=head))
    first = DenseOutput('pts_init', BBOX, 1, points, loss='loss_bbox_init')
    second = DenseOutput('pts_refine', BBOX, 2, points, loss='loss_bbox_refine')
    return HeadSpec([_cls(head), first, second])


def _vfnet(head: Any) -> HeadSpec:
    """Return scores, and two estimates of distances in pixels."""
    first = _bbox(read_distances, in_pixels=True)
    refined = replace(first, name='bbox_rf', index=2, loss='loss_bbox_refine')
    return HeadSpec([_cls(head), first, refined])


def _yolox(head: Any) -> HeadSpec:
    """Return scores, deltas from cells and objectness."""
    boxes = DenseOutput('bbox', BBOX, 1, Deltas())
    outputs = [_cls(head), boxes, _quality('obj', 'loss_obj')]
    return HeadSpec(outputs, {'l1': (BBOX,)}, objectness=True)


BAGS = {'positive_bag': (CLS, BBOX), 'negative_bag': (CLS, BBOX)}
FAMILIES: dict[type, Callable[[Any], HeadSpec | None]] = {
    mmdet_heads.RPNHead: _anchors,
    mmdet_heads.RetinaHead: _anchors,
    mmdet_heads.RetinaSepBNHead: _anchors,
    mmdet_heads.FreeAnchorRetinaHead: partial(_anchors, joint_losses=BAGS),
    mmdet_heads.FSAFHead: _anchors,
    mmdet_heads.YOLOFHead: _anchors,
    mmdet_heads.ATSSHead: partial(_anchors, quality=CENTERNESS),
    mmdet_heads.PAAHead: partial(_anchors, quality=_quality('iou', 'loss_centerness')),
    mmdet_heads.DDODHead: partial(_anchors, quality=_quality('iou', 'loss_iou')),
    mmdet_heads.GFLHead: _gfl,
    mmdet_heads.TOODHead: _tood,
    mmdet_heads.FCOSHead: _fcos,
    mmdet_heads.AutoAssignHead: _auto_assign,
    mmdet_heads.CenterNetUpdateHead: _distances,
    mmdet_heads.FoveaHead: _fovea,
    mmdet_heads.RepPointsHead: _rep_points,
    mmdet_heads.VFNetHead: _vfnet,
    mmdet_heads.RTMDetHead: partial(_distances, in_pixels=True),
    mmdet_heads.RTMDetSepBNHead: partial(_distances, in_pixels=True),
    mmdet_heads.YOLOXHead: _yolox,
}
