"""Distillation of dense heads: scores and boxes for every anchor or point of every level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_samples, without_masks
from .base import untrained
from .dense_heads import CLS, QUALITY, DenseForm, DenseOutput, describe
from .dense_outputs import ScoreKind
from .divergence import set_agreement
from .priors import PriorPyramid
from .targets import DistillConfig, Target

Maps = Sequence[Sequence[Tensor]]  # one output after the other, level by level
Steps = Sequence[Tensor | None]  # one output, step by step of the priors' sizes
Weights = Sequence[Tensor | float | None]


class DenseDistiller:
    """Trains a sub-network's dense outputs on the full network's, on labels, or both.

    Soft targets come through scale (:mod:`scale_space`); hard ones from the head's own
    assigner on the moved labels.

    Args:
        head: The detector's dense head.
        config: The targets of ``dense_cls``, ``dense_bbox``, ``dense_quality``, ``dense_dfl``.
        turns: Quarter turns that the sub-networks' images may make.

    Raises:
        ValueError: If a loss of the head joins outputs whose hard weights differ, or if
            outputs are to be trained soft under turns that the anchors do not allow.
    """

    prefix = 'dense'

    def __init__(
        self, head: nn.Module, config: DistillConfig, turns: frozenset[int] = frozenset()
    ) -> None:
        self.head: Any = head
        self.form = cast(DenseForm, describe(head))
        self.priors = cast(PriorPyramid, PriorPyramid.of(self.head.prior_generator))
        keys = {output.key for output in self.form.outputs}
        self.targets: dict[str, Target] = {k: getattr(config, f'{self.prefix}_{k}') for k in keys}
        self.keys = sorted(f'{self.prefix}_{k}' for k in keys)
        self._objectness = [
            output.name
            for output in self.form.outputs
            if self.form.objectness and output.key == QUALITY
        ]
        self._used = [output for output in self.form.outputs if self._uses(output)]
        self._teacher: dict[str, list[Tensor]] | None = None
        self._require_one_weight_a_loss()
        if self._has_soft and any(turn % 2 for turn in turns):
            assert self.priors.turned_anchors  # raises where an anchor has no counterpart

    @staticmethod
    def supports(head: nn.Module) -> bool:
        """Whether ``head`` computes outputs and losses as a known head of mmdet's does.

        Its priors have to be alike on two or more scales, since soft targets come through
        scale.
        """
        return describe(head) is not None

    def _uses(self, output: DenseOutput) -> bool:
        """Whether soft losses need an output: their own, or those that say where objects are."""
        says_where = output.key == CLS or output.name in self._objectness
        return bool(self.targets[output.key].soft or (says_where and self._has_soft))

    @property
    def _has_soft(self) -> bool:
        """Whether any output is trained on the full network's."""
        return any(target.soft for target in self.targets.values())

    def _require_one_weight_a_loss(self) -> None:
        """Raise if one of mmdet's losses would have to be weighed in two ways."""
        for name, keys in self.form.losses.items():
            weights = {f'{self.prefix}_{key}': self.targets[key].hard for key in keys}
            if len(set(weights.values())) > 1:
                raise ValueError(
                    f'{name} of {type(self.head).__name__} trains several outputs together, so '
                    f'gradaug.distill needs the same hard weight for them, got {weights}'
                )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the outputs of the full pass."""
        handle = self.head.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()  # RepPoints makes boxes of points by a trained parameter
    def _keep(self, head: nn.Module, args: tuple, outputs: Maps) -> None:
        """Keep the outputs that soft losses need, in the form that may be interpolated."""
        self._teacher = {}
        for output in self._used:
            maps = [output.kind.teacher(m) for m in outputs[output.index]]
            self._teacher[output.name] = self.priors.split(maps)

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
        outputs: Maps = self.head(feats)
        maps = [level_map for output in outputs for level_map in output]
        # Parameters too: some are part of a loss alone, such as AutoAssign's centre prior.
        losses = {f'loss_{self.prefix}_untrained': untrained(*maps, *self.head.parameters())}
        if self._has_soft:
            losses |= self._soft_losses(outputs, mapping, soft_ramp)
        if any(target.hard for target in self.targets.values()):
            losses |= self._hard_losses(outputs, data_samples, mapping)
        return losses

    def _soft_losses(self, outputs: Maps, mapping: GeometricMap, ramp: float) -> dict[str, Tensor]:
        """Losses against the teacher's maps, summed over priors, per expected object.

        The sum over priors grows with the image; divided by the number of priors that the
        teacher takes for objects it does not.
        """
        student = {output.name: self._student(output, outputs, mapping) for output in self._used}
        sizes = [(values.size(-2), values.size(-1)) for values in student['cls']]
        teacher = {output.name: self._targets(output, mapping, sizes) for output in self._used}
        presence = self._presence(teacher)
        # Stays on the device: reading it here would make a GPU wait in every pass.
        expected = sum(
            (p.sum() for p in presence if p is not None), student['cls'][0].new_zeros(())
        )
        norm = expected.clamp(min=student['cls'][0].size(0))
        losses = self._agreement(student, presence)
        for output in self._used:
            target = self.targets[output.key]
            if target.soft:
                weights = self._weights(output, teacher, presence)
                total = _weighted_sum(output, student[output.name], teacher[output.name], weights)
                weight = target.soft * ramp * self._loss_weight(output)
                losses[f'loss_{self.prefix}_{output.name}_soft'] = total / norm * weight
        return losses

    def _student(self, output: DenseOutput, outputs: Maps, mapping: GeometricMap) -> list[Tensor]:
        """The sub-network's values of an output, step by step, without those of padding."""
        values = [output.kind.student(level_map) for level_map in outputs[output.index]]
        return self.priors.without_padding(self.priors.split(values), mapping.out_size)

    def _targets(
        self, output: DenseOutput, mapping: GeometricMap, sizes: list[tuple[int, int]]
    ) -> list[Tensor | None]:
        """The teacher's values of an output for the student's priors, step by step."""
        assert self._teacher is not None, 'the full pass comes first'

        def rescale(values: Tensor, source: int, target: int) -> Tensor:
            factor = self.priors.factor(mapping, source, target)
            return output.kind.rescaled(values, mapping.scale if output.in_pixels else factor)

        kept = [output.kind.turned(values, mapping) for values in self._teacher[output.name]]
        return self.priors.targets(kept, mapping, sizes, rescale)

    def _presence(self, probabilities: dict[str, Any]) -> list[Tensor | None]:
        """How much each prior (N, A, h, w) of each step is taken for an object.

        Args:
            probabilities: Of class scores, and of objectness if the head has it, by name.
        """
        scores = cast(ScoreKind, self.form.outputs[0].kind)
        presence = [None if p is None else scores.presence(p) for p in probabilities['cls']]
        for name in self._objectness:
            there = probabilities[name]
            presence = [
                None if p is None else p * o[:, :, 0] for p, o in zip(presence, there, strict=True)
            ]
        return presence

    def _weights(self, output: DenseOutput, teacher: dict[str, Any], presence: Steps) -> Weights:
        """How much each prior counts in the soft loss of an output.

        Boxes and qualities mean something only where there is an object, and so do class
        scores beside objectness.
        """
        if output.key == CLS and self._objectness:
            there = teacher[self._objectness[0]]
            return [None if o is None else o[:, :, 0] for o in there]
        if output.key == CLS or output.name in self._objectness:
            return [1.0] * len(presence)
        return presence

    def _agreement(self, student: dict[str, list[Tensor]], presence: Steps) -> dict[str, Tensor]:
        """Intersection over union of the priors that student and teacher take for objects."""
        scores = [self.form.outputs[0].name, *self._objectness]
        kinds = {output.name: cast(ScoreKind, output.kind) for output in self.form.outputs}
        own = self._presence(
            {n: [kinds[n].probabilities(v.detach()) for v in student[n]] for n in scores}
        )
        pairs = [
            (s, t) for s, t in zip(own, presence, strict=True) if s is not None and t is not None
        ]
        if not pairs:
            return {}
        sides = [
            torch.cat([(p > 0.5).flatten() for p in side]) for side in zip(*pairs, strict=True)
        ]
        return {f'agree_{self.prefix}': set_agreement(*sides)}

    def _loss_weight(self, output: DenseOutput) -> float:
        """The weight that the head gives to the output's loss."""
        return getattr(getattr(self.head, output.loss, None), 'loss_weight', 1.0)

    def _hard_losses(
        self, outputs: Maps, data_samples: SampleList, mapping: GeometricMap
    ) -> dict[str, Tensor]:
        """Stock losses on the moved labels, from the head's own assigner and sampler."""
        moved = move_samples(without_masks(data_samples), mapping)
        objects, ignored, metas = unpack_gt_instances(self._relabelled(moved))
        # Lists of their own: FSAF replaces their members.
        own = [list(output) for output in outputs]
        with _unchanged(self.head, self.form.counts):
            losses = self.head.loss_by_feat(*own, objects, metas, ignored)
        hard = {}
        for name, value in losses.items():
            if 'loss' in name:
                weight = self.targets[self.form.losses[name][0]].hard
                if weight:
                    levels = [value] if isinstance(value, Tensor) else value
                    stem = name.removeprefix('loss_').removesuffix('_loss').removeprefix('rpn_')
                    total = sum((level.mean() for level in levels), levels[0].new_zeros(()))
                    hard[f'loss_{self.prefix}_{stem}_hard'] = total * weight
        return hard

    def _relabelled(self, samples: SampleList) -> SampleList:
        """Labels as the detector gives them to this head."""
        return samples


@contextmanager
def _unchanged(head: Any, counts: Sequence[str]) -> Iterator[None]:
    """Take back what a sub-network's losses count: as with BatchNorm, only the full pass does."""
    before = {name: list(getattr(head, name)) for name in counts}
    try:
        yield
    finally:
        for name, values in before.items():
            setattr(head, name, values)


def _weighted_sum(
    output: DenseOutput, student: list[Tensor], target: Steps, weights: Weights
) -> Tensor:
    """Divergences, each prior's as much as its weight."""
    total = student[0].new_zeros(())
    for values, goal, weight in zip(student, target, weights, strict=True):
        if goal is not None and weight is not None:
            total = total + (output.kind.divergence(values, goal) * weight).sum()
    return total
