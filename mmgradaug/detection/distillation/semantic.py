"""Distillation of heads that segment the whole image, such as Panoptic FPN's.

They are trained as a mask is, by the target of ``roi_mask``: soft on what the full network says
at the place each cell comes from, hard by their own loss on the moved semantic labels.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import PixelData
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_pixels
from .base import HeadDistiller, Losses, has_stock_methods, zero_loss
from .config import Target
from .divergence import distribution_kl
from .scale_space import same_level_target


class SemanticDistiller(HeadDistiller):
    """Trains a sub-network's segmentation on the full network's, on labels, or both."""

    keys = ('roi_mask',)

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` is Panoptic FPN's, over exclusive classes."""
        stock = has_stock_methods(head, (PanopticFPNHead,), ('forward', 'loss'))
        return stock and is_exclusive(head.loss_seg)

    def record(self, head: Any, args: Any, outputs: dict[str, Tensor]) -> None:
        """Record class probabilities (N, C, H, W)."""
        self.teacher = outputs['seg_preds'].detach().float().softmax(dim=1)

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute the losses of the active sub-network; see :class:`HeadDistiller`."""
        target = self.config.roi_mask
        outputs: list[dict[str, Tensor]] = []
        with self.head.register_forward_hook(lambda head, args, said: outputs.append(said)):
            if target.hard:
                cells = feats[self.head.start_level].shape[-2:]  # as many as the head gives
                maps = move_labels(samples, mapping, cells, self.head.seg_rescale_factor)
                hard = self.head.loss(feats, [DetDataSample(gt_sem_seg=labels) for labels in maps])
            else:
                self.head(feats)
        logits = outputs[0]['seg_preds']
        losses = {'loss_seg_untrained': zero_loss(logits)}
        factor = ramp * self.head.loss_seg.loss_weight
        losses |= soft_semantic(logits, self.teacher, mapping, target, factor)
        if target.hard:
            losses['loss_seg_hard'] = hard['loss_seg'] * target.hard
        return losses


def is_exclusive(criterion: nn.Module) -> bool:
    """Return whether a loss takes the classes of a cell for exclusive: a softmax over them."""
    return isinstance(criterion, CrossEntropyLoss) and not criterion.use_sigmoid


def move_labels(
    samples: SampleList,
    mapping: GeometricMap,
    cells: Sequence[int],
    factor: float,
    ignored: int = 255,
) -> list[PixelData]:
    """Return semantic labels of the transformed images, padded with ignored ones as these are.

    ``cells`` are height and width of the head's maps, smaller than the labels by ``factor``.
    """
    size = (round(cells[0] / factor), round(cells[1] / factor))
    maps = [PixelData(sem_seg=sample.gt_sem_seg.sem_seg.long()) for sample in samples]
    return [move_pixels(labels, mapping, size, ignored) for labels in maps]


def soft_semantic(
    logits: Tensor, teacher: Tensor, mapping: GeometricMap, target: Target, factor: float
) -> Losses:
    """Compute the KL divergence of the cells' classes, mean over cells, and their agreement.

    Of the sub-network's logits (N, C, H, W), padded right and bottom, from the probabilities
    (N, C, H_t, W_t) of the original images. ``target.soft`` times ``factor`` weighs the loss.
    """
    wanted = same_level_target(teacher, mapping)
    student = logits[..., : wanted.size(-2), : wanted.size(-1)]  # not the padding
    agreement = (student.argmax(dim=1) == wanted.argmax(dim=1)).float().mean()
    losses = {'agree_semantic': agreement}
    if target.soft:
        divergence = distribution_kl(student, wanted).mean()
        losses['loss_semantic_seg_soft'] = divergence * target.soft * factor
    return losses
