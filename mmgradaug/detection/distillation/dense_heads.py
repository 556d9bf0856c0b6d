"""What each family of mmdet's dense heads gives per level, and what its losses train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmdet.models import dense_heads as mmdet_heads
from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    TBLRBBoxCoder,
)
from torch import nn

from .dense_boxes import (
    CellBoxes,
    Deltas,
    Distances,
    ExpectedDistances,
    LogDistances,
    PointSets,
    SideDistributions,
)
from .dense_outputs import OutputKind, SigmoidScores, SoftmaxScores
from .priors import PriorPyramid

CLS, BBOX, QUALITY, DFL = 'cls', 'bbox', 'quality', 'dfl'
_IOU_LOSSES = {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_iou': (QUALITY,)}


@dataclass(frozen=True)
class DenseOutput:
    """One output of a dense head, or one way to look at it.

    Attributes:
        name: Its name in the log, that of mmdet's loss without ``loss_``.
        key: Which target of ``gradaug.distill`` it has: class, box, quality or distribution.
        index: Its place in what the head's forward returns.
        kind: What it means.
        in_pixels: Whether lengths are in pixels, instead of the priors' size.
        loss: Attribute of the head whose ``loss_weight`` the soft loss takes.
    """

    name: str
    key: str
    index: int
    kind: OutputKind
    in_pixels: bool = False
    loss: str = 'loss_bbox'


@dataclass(frozen=True)
class DenseForm:
    """What a dense head's forward gives and ``loss_by_feat`` returns.

    Attributes:
        outputs: Class scores first.
        losses: For each loss of mmdet's, which keys its outputs have.
        objectness: Whether the quality says if there is an object at all, so that class
            scores mean something only where it does.
        counts: Attributes of the head in which its losses count what they see, over all
            iterations.
    """

    outputs: Sequence[DenseOutput]
    losses: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {'loss_cls': (CLS,), 'loss_bbox': (BBOX,)}
    )
    objectness: bool = False
    counts: Sequence[str] = ()


def describe(head: nn.Module) -> DenseForm | None:
    """The form of a head's outputs; None unless it is one of mmdet's known ones.

    A subclass that overrides how outputs or losses are computed is not known.
    """
    for family, form_of in FAMILIES.items():
        if isinstance(head, family) and _computes_as(head, family):
            form = form_of(head)
            return form if form and PriorPyramid.of(head.prior_generator) else None
    return None


def _computes_as(head: nn.Module, family: type) -> bool:
    """Whether a head's outputs and losses come from the family's own methods."""
    methods = ('forward', 'forward_single', 'loss', 'loss_by_feat', 'loss_by_feat_single')
    return all(getattr(type(head), m, None) is getattr(family, m, None) for m in methods)


def _cls(head: Any, **options: Any) -> DenseOutput:
    """Class scores, as the head's loss takes them."""
    if head.use_sigmoid_cls:
        kind: OutputKind = SigmoidScores(head.cls_out_channels, **options)
    else:
        kind = SoftmaxScores(head.cls_out_channels)
    return DenseOutput('cls', CLS, 0, kind, loss='loss_cls')


def _quality(name: str, loss: str) -> DenseOutput:
    """A probability beside the class scores, such as centerness."""
    return DenseOutput(name, QUALITY, 2, SigmoidScores(), loss=loss)


def _anchor_boxes(head: Any) -> DenseOutput | None:
    """Boxes as the head's coder codes them relative to anchors."""
    coder = head.bbox_coder
    if isinstance(coder, (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder)):
        return DenseOutput('bbox', BBOX, 1, Deltas(tuple(coder.means), tuple(coder.stds)))
    if isinstance(coder, TBLRBBoxCoder) and isinstance(coder.normalizer, (int, float)):
        # Top, bottom, left and right in units of the anchor's height and width.
        kind = Distances(order=(2, 0, 3, 1), unit=float(coder.normalizer))
        return DenseOutput('bbox', BBOX, 1, kind)
    return None


def _anchors(head: Any) -> DenseForm | None:
    """Scores and coded boxes: RetinaNet, FSAF, YOLOF."""
    boxes = _anchor_boxes(head)
    return DenseForm([_cls(head), boxes]) if boxes else None


def _rpn(head: Any) -> DenseForm | None:
    """A region proposal network: RetinaNet's form with one class."""
    boxes = _anchor_boxes(head)
    losses = {'loss_rpn_cls': (CLS,), 'loss_rpn_bbox': (BBOX,)}
    return DenseForm([_cls(head), boxes], losses) if boxes else None


def _free_anchor(head: Any) -> DenseForm | None:
    """RetinaNet's outputs under losses of bags of anchors."""
    boxes = _anchor_boxes(head)
    losses = {'positive_bag_loss': (CLS, BBOX), 'negative_bag_loss': (CLS, BBOX)}
    return DenseForm([_cls(head), boxes], losses) if boxes else None


def _atss(head: Any) -> DenseForm | None:
    """Scores, coded boxes and centerness."""
    boxes = _anchor_boxes(head)
    losses = {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_centerness': (QUALITY,)}
    quality = _quality('centerness', 'loss_centerness')
    return DenseForm([_cls(head), boxes, quality], losses) if boxes else None


def _paa(head: Any) -> DenseForm | None:
    """Scores, coded boxes and IoU."""
    boxes = _anchor_boxes(head)
    quality = _quality('iou', 'loss_centerness')
    return DenseForm([_cls(head), boxes, quality], _IOU_LOSSES) if boxes else None


def _ddod(head: Any) -> DenseForm | None:
    """PAA's form; its losses count positive anchors a level."""
    boxes = _anchor_boxes(head)
    outputs = boxes and [_cls(head), boxes, _quality('iou', 'loss_iou')]
    counts = ('cls_num_pos_samples_per_level', 'reg_num_pos_samples_per_level')
    return DenseForm(outputs, _IOU_LOSSES, counts=counts) if outputs else None


def _gfl(head: Any) -> DenseForm:
    """Scores, and distributions over the distances to the box's sides."""
    bins = head.reg_max + 1
    outputs = [
        _cls(head),
        DenseOutput('bbox', BBOX, 1, ExpectedDistances(bins)),
        DenseOutput('dfl', DFL, 1, SideDistributions(bins), loss='loss_dfl'),
    ]
    return DenseForm(outputs, {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_dfl': (DFL,)})


def _tood(head: Any) -> DenseForm:
    """Probabilities, and boxes in cells."""
    boxes = CellBoxes(head.prior_generator.center_offset)
    return DenseForm([_cls(head, activated=True), DenseOutput('bbox', BBOX, 1, boxes)])


def _fcos(head: Any) -> DenseForm:
    """Scores, distances in cells or in pixels, and centerness."""
    boxes = DenseOutput('bbox', BBOX, 1, Distances(), in_pixels=not head.norm_on_bbox)
    losses = {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_centerness': (QUALITY,)}
    return DenseForm([_cls(head), boxes, _quality('centerness', 'loss_centerness')], losses)


def _auto_assign(head: Any) -> DenseForm:
    """Scores, distances in pixels and objectness, under losses that train them together."""
    boxes = DenseOutput('bbox', BBOX, 1, Distances(), in_pixels=True)
    together = (CLS, BBOX, QUALITY)
    losses = {'loss_pos': together, 'loss_neg': together, 'loss_center': together}
    quality = _quality('objectness', 'loss_centerness')
    return DenseForm([_cls(head), boxes, quality], losses, objectness=True)


def _centernet_update(head: Any) -> DenseForm:
    """Scores, and distances in cells."""
    return DenseForm([_cls(head), DenseOutput('bbox', BBOX, 1, Distances())])


def _fovea(head: Any) -> DenseForm | None:
    """Scores, and logarithms of distances in units that grow with the strides."""
    pairs = zip(head.base_edge_list, head.prior_generator.strides, strict=False)
    units = torch.tensor([edge / stride[0] for edge, stride in pairs])
    if not torch.allclose(units, units[0]):
        return None
    return DenseForm([_cls(head), DenseOutput('bbox', BBOX, 1, LogDistances())])


def _rep_points(head: Any) -> DenseForm:
    """Scores, and two sets of points in cells."""
    points = PointSets(head)
    outputs = [
        _cls(head),
        DenseOutput('pts_init', BBOX, 1, points, loss='loss_bbox_init'),
        DenseOutput('pts_refine', BBOX, 2, points, loss='loss_bbox_refine'),
    ]
    losses = {'loss_cls': (CLS,), 'loss_pts_init': (BBOX,), 'loss_pts_refine': (BBOX,)}
    return DenseForm(outputs, losses)


def _vfnet(head: Any) -> DenseForm:
    """Scores, and two estimates of distances in pixels."""
    outputs = [
        _cls(head),
        DenseOutput('bbox', BBOX, 1, Distances(), in_pixels=True),
        DenseOutput('bbox_rf', BBOX, 2, Distances(), in_pixels=True, loss='loss_bbox_refine'),
    ]
    losses = {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_bbox_rf': (BBOX,)}
    return DenseForm(outputs, losses)


def _rtmdet(head: Any) -> DenseForm:
    """Scores, and distances in pixels."""
    return DenseForm([_cls(head), DenseOutput('bbox', BBOX, 1, Distances(), in_pixels=True)])


def _yolox(head: Any) -> DenseForm:
    """Scores, deltas from cells and objectness."""
    outputs = [_cls(head), DenseOutput('bbox', BBOX, 1, Deltas()), _quality('obj', 'loss_obj')]
    losses = {'loss_cls': (CLS,), 'loss_bbox': (BBOX,), 'loss_l1': (BBOX,), 'loss_obj': (QUALITY,)}
    return DenseForm(outputs, losses, objectness=True)


FAMILIES: dict[type, Callable[[Any], DenseForm | None]] = {
    mmdet_heads.RPNHead: _rpn,
    mmdet_heads.RetinaHead: _anchors,
    mmdet_heads.RetinaSepBNHead: _anchors,
    mmdet_heads.FreeAnchorRetinaHead: _free_anchor,
    mmdet_heads.FSAFHead: _anchors,
    mmdet_heads.YOLOFHead: _anchors,
    mmdet_heads.ATSSHead: _atss,
    mmdet_heads.PAAHead: _paa,
    mmdet_heads.DDODHead: _ddod,
    mmdet_heads.GFLHead: _gfl,
    mmdet_heads.TOODHead: _tood,
    mmdet_heads.FCOSHead: _fcos,
    mmdet_heads.AutoAssignHead: _auto_assign,
    mmdet_heads.CenterNetUpdateHead: _centernet_update,
    mmdet_heads.FoveaHead: _fovea,
    mmdet_heads.RepPointsHead: _rep_points,
    mmdet_heads.VFNetHead: _vfnet,
    mmdet_heads.RTMDetHead: _rtmdet,
    mmdet_heads.RTMDetSepBNHead: _rtmdet,
    mmdet_heads.YOLOXHead: _yolox,
}
