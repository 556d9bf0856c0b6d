"""Distillation of the region proposal network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_samples, without_masks
from .base import untrained
from .divergence import bernoulli_kl, set_agreement
from .scale_space import scale_space_target
from .targets import DistillConfig
from .turning import require_turnable


class RPNDistiller:
    """Trains a sub-network's objectness and deltas on the full network's, on labels, or both.

    Args:
        head: The detector's region proposal network.
        config: The targets of ``rpn_cls`` and ``rpn_bbox``.
        turns: Quarter turns that the sub-networks' images may make.

    Raises:
        ValueError: If outputs are to be trained soft under turns that they do not allow.
    """

    def __init__(
        self, head: RPNHead, config: DistillConfig, turns: frozenset[int] = frozenset()
    ) -> None:
        self.head = head
        self.cls, self.bbox = config.rpn_cls, config.rpn_bbox
        if self.bbox.soft:
            require_turnable(head.bbox_coder, turns)
        if any(turn % 2 for turn in turns) and (self.cls.soft or self.bbox.soft):
            for anchors in head.prior_generator.base_anchors:
                turned_anchors(anchors)  # raises where an anchor has no counterpart
        self._teacher: tuple[list[Tensor], list[Tensor]] | None = None

    @staticmethod
    def supports(head: nn.Module) -> bool:
        """Whether ``head`` is mmdet's region proposal network on a feature pyramid.

        Its anchors have to grow with the levels' strides, since soft targets come through scale.
        """
        methods = ('forward', 'loss_by_feat')
        return (
            isinstance(head, RPNHead)
            and all(getattr(type(head), m) is getattr(RPNHead, m) for m in methods)
            and head.use_sigmoid_cls
            and _is_pyramid(head.prior_generator)
        )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the outputs of the full pass."""
        handle = self.head.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()

    def _keep(self, head: nn.Module, args: tuple, outputs: tuple) -> None:
        """Keep objectness as probabilities, and deltas if they are soft targets."""
        scores, deltas = outputs
        probabilities = [score.detach().float().sigmoid() for score in scores]
        kept_deltas = [d.detach().float() for d in deltas] if self.bbox.soft else []
        self._teacher = probabilities, kept_deltas

    def forget(self) -> None:
        """Drop what was kept."""
        self._teacher = None

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        scores, deltas = self.head(feats)
        losses = {'loss_rpn_untrained': untrained(*scores, *deltas)}
        if self.cls.soft or self.bbox.soft:
            losses |= self._soft_losses(scores, deltas, mapping, soft_ramp)
        if self.cls.hard or self.bbox.hard:
            losses |= self._hard_losses(scores, deltas, data_samples, mapping)
        return losses

    def _soft_losses(
        self, scores: list[Tensor], deltas: list[Tensor], mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Losses against the teacher's maps, summed over anchors, per expected object.

        The sum over anchors grows with the image; divided by the number of anchors that the
        teacher takes for objects it does not.
        """
        scores, deltas = (self._without_padding(maps, mapping) for maps in (scores, deltas))
        sizes = [(score.size(-2), score.size(-1)) for score in scores]
        probabilities = self._targets(self._teacher_maps(0, 1), mapping, sizes)
        # Stays on the device: reading it here would make a GPU wait in every pass.
        expected = [p.sum() for p in probabilities if p is not None]
        norm = sum(expected, torch.zeros((), device=scores[0].device)).clamp(min=scores[0].size(0))
        divergence = scores[0].new_zeros(())
        agreement: list[tuple[Tensor, Tensor]] = []
        for score, target in zip(scores, probabilities, strict=True):
            if target is not None:
                divergence = divergence + bernoulli_kl(score, target).sum()
                student = score.detach().float().sigmoid()  # rounds as the teacher's did
                agreement.append(((student > 0.5).flatten(), (target > 0.5).flatten()))
        losses = {}
        if self.cls.soft:
            weight = self.cls.soft * ramp * self.head.loss_cls.loss_weight
            losses['loss_rpn_cls_soft'] = divergence / norm * weight
        if self.bbox.soft:
            require_turnable(self.head.bbox_coder, frozenset({mapping.turns}))
            targets = self._targets(self._teacher_maps(1, 4), mapping, sizes)
            weight = self.bbox.soft * ramp * self.head.loss_bbox.loss_weight
            error = _delta_error(deltas, targets, probabilities)
            losses['loss_rpn_bbox_soft'] = error / norm * weight
        if agreement:
            student, teacher = (torch.cat(side) for side in zip(*agreement, strict=True))
            losses['agree_rpn'] = set_agreement(student, teacher)
        return losses

    def _teacher_maps(self, output: int, values: int) -> list[Tensor]:
        """The kept maps of an output as (N, anchors, values, H, W)."""
        assert self._teacher is not None, 'the full pass comes first'
        return [m.unflatten(1, (-1, values)) for m in self._teacher[output]]

    def _targets(
        self, maps: list[Tensor], mapping: GeometricMap, sizes: list[tuple[int, int]]
    ) -> list[Tensor | None]:
        """Maps turned and read at the student's scale, as (N, anchors * values, h, w)."""
        if mapping.turns:
            maps = [self._turn(level_map, level, mapping) for level, level_map in enumerate(maps)]
        prior = self.head.prior_generator
        offset = getattr(prior, 'center_offset', 0.0)
        flat = [m.flatten(1, 2) for m in maps]
        return scale_space_target(flat, prior.strides, mapping, sizes, offset)

    def _turn(self, level_map: Tensor, level: int, mapping: GeometricMap) -> Tensor:
        """Exchange anchors with their turned counterparts, and turn deltas with them."""
        if mapping.turns % 2:
            anchors = self.head.prior_generator.base_anchors[level]
            level_map = level_map[:, turned_anchors(anchors)]
        if level_map.size(2) == 4:
            level_map = mapping.deltas(level_map.movedim(2, -1)).movedim(-1, 2)
        return level_map

    def _without_padding(self, maps: list[Tensor], mapping: GeometricMap) -> list[Tensor]:
        """The cells of each level whose anchors are centred on the image, not on its padding."""
        prior = self.head.prior_generator
        offset = getattr(prior, 'center_offset', 0.0)
        height, width = mapping.out_size
        cropped = []
        for level, (stride_x, stride_y) in zip(maps, prior.strides, strict=True):
            rows = math.ceil(height / stride_y - offset)
            columns = math.ceil(width / stride_x - offset)
            cropped.append(level[..., :rows, :columns])
        return cropped

    def _hard_losses(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
    ) -> dict[str, Tensor]:
        """Stock losses on the moved labels, from the head's own assigner and sampler."""
        moved = move_samples(without_masks(data_samples), mapping)
        objects, ignored, metas = unpack_gt_instances(moved)
        for instances in objects:
            instances.labels = torch.zeros_like(instances.labels)  # one class: object
        losses = self.head.loss_by_feat(scores, deltas, objects, metas, ignored)
        hard = {}
        for name, weight in (('cls', self.cls.hard), ('bbox', self.bbox.hard)):
            if weight:
                levels = losses[f'loss_rpn_{name}']
                hard[f'loss_rpn_{name}_hard'] = sum(level.mean() for level in levels) * weight
        return hard


def _is_pyramid(prior: Any) -> bool:
    """Whether anchors of two or more levels are the same ones in units of the stride."""
    anchors = getattr(prior, 'base_anchors', [])
    if len(anchors) < 2 or getattr(prior, 'centers', None) is not None:
        return False
    units = [a / a.new_tensor([*s, *s]) for a, s in zip(anchors, prior.strides, strict=True)]
    return all(u.shape == units[0].shape and torch.allclose(u, units[0]) for u in units)


def _delta_error(
    deltas: list[Tensor], targets: list[Tensor | None], probabilities: list[Tensor | None]
) -> Tensor:
    """Absolute error of deltas, each anchor as much as the teacher takes it for an object."""
    error = deltas[0].new_zeros(())
    for delta, target, probability in zip(deltas, targets, probabilities, strict=True):
        if target is not None and probability is not None:
            weights = probability.repeat_interleave(4, dim=1)
            error = error + ((delta.float() - target).abs() * weights).sum()
    return error


def turned_anchors(anchors: Tensor) -> Tensor:
    """For each base anchor the index of the one that a quarter turn makes of it.

    Args:
        anchors: Base anchors (A, 4) of a level around the origin.

    Raises:
        ValueError: If one has no counterpart, such as a wide anchor without a tall one.
    """
    sizes = torch.stack([anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]], dim=1)
    distance = torch.cdist(sizes.flip(1).float(), sizes.float())
    nearest, index = distance.min(dim=1)
    if (nearest > 0.02 * sizes.max()).any():
        raise ValueError(
            f'anchors of sizes {sizes.tolist()} have no counterparts under a quarter turn: use '
            "ratios in pairs such as [0.5, 1.0, 2.0], or gradaug.distill.rpn_cls='hard'"
        )
    return index
