"""Distillation of dense heads: scores and boxes for every anchor or point of every level.

In the full pass the head's maps are recorded. A sub-network runs the head on its own features. Its
soft targets are read from the recorded maps through scale (:mod:`scale_space`); its hard losses are
the head's own, whose assigner runs on the moved labels.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...errors import ConfigError
from ...transforms import GeometricMap
from ..labels import move_samples
from .base import HeadDistiller, Losses, zero_loss
from .config import DistillConfig, Target
from .dense_heads import CLS, QUALITY, DenseOutput, HeadSpec, head_spec
from .divergence import set_agreement
from .scale_space import PriorPyramid

Maps = Sequence[Sequence[Tensor]]  # one output after the other, level by level
Steps = list[Tensor]  # one output, step by step of the priors' sizes


class DenseDistiller(HeadDistiller):
    """Trains a sub-network's dense outputs on the full network's, on labels, or both."""

    prefix = 'dense'

    def __init__(self, head: nn.Module, config: DistillConfig) -> None:
        super().__init__(head, config)
        self.spec = cast(HeadSpec, head_spec(head))
        self.priors = cast(PriorPyramid, PriorPyramid.of(self.head.prior_generator))
        keys = {output.key for output in self.spec.outputs}
        self.targets: dict[str, Target] = {k: getattr(config, f'{self.prefix}_{k}') for k in keys}
        self.keys = sorted(f'{self.prefix}_{k}' for k in keys)
        soft = {key for key, target in self.targets.items() if target.soft}
        scores = {CLS, QUALITY} if self.spec.objectness else {CLS}
        # Soft losses need the teacher's values of their outputs, and where it sees objects.
        used = soft | scores if soft else set()
        self._scores = [output for output in self.spec.outputs if output.key in scores]
        self._used = [output for output in self.spec.outputs if output.key in used]
        for name, joined in self.spec.joint_losses.items():
            weights = {f'{self.prefix}_{key}': self.targets[key].hard for key in joined}
            if len(set(weights.values())) > 1:
                raise ConfigError(
                    f'loss {name} of {type(head).__name__} trains several outputs together, so '
                    f'gradaug.distill needs the same hard weight for them, got {weights}'
                )

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` computes outputs and losses as a known head of mmdet's does."""
        return head_spec(head) is not None

    @torch.no_grad()  # RepPoints makes boxes of points by a trained parameter
    def record(self, head: Any, args: Any, outputs: Maps) -> None:
        """Record the outputs that soft losses need, in the form that may be interpolated."""
        self.teacher = {
            output.name: self.priors.split(
                [output.kind.teacher(level_map) for level_map in outputs[output.index]]
            )
            for output in self._used
        }

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute the losses of the active sub-network; see :class:`HeadDistiller`."""
        outputs: Maps = self.head(feats)
        maps = [level_map for output in outputs for level_map in output]
        # Parameters too: some are part of a loss alone, such as AutoAssign's centre prior.
        losses = {f'loss_{self.prefix}_untrained': zero_loss(*maps, *self.head.parameters())}
        if self._used:
            losses |= self._soft_losses(outputs, mapping, ramp)
        if any(target.hard for target in self.targets.values()):
            losses |= self._hard_losses(outputs, samples, mapping)
        return losses

    def _soft_losses(self, outputs: Maps, mapping: GeometricMap, ramp: float) -> Losses:
        """Compute losses against the teacher's maps, summed over priors, per expected object.

        The sum over priors grows with the image; divided by the number of priors that the
        teacher takes for objects it does not. Boxes and qualities mean something only where there
        is an object, and so do class scores beside objectness: there each prior counts as much
        as the teacher takes it for one.
        """
        student, teacher = self._pair(outputs, mapping)
        zero = outputs[0][0].new_zeros((), dtype=torch.float32)
        foreground = self._foreground(teacher)
        # Stays on the device: reading it here would make a GPU wait in every pass.
        norm = sum((score.sum() for score in foreground), zero).clamp(min=len(outputs[0][0]))
        losses = {}
        if foreground:
            said = {
                output.name: [output.kind.probabilities(v.detach()) for v in student[output.name]]
                for output in self._scores
            }
            own = torch.cat([(score > 0.5).flatten() for score in self._foreground(said)])
            wanted = torch.cat([(score > 0.5).flatten() for score in foreground])
            losses[f'agree_{self.prefix}'] = set_agreement(own, wanted)
        for output in self._used:
            target = self.targets[output.key]
            if not target.soft:
                continue
            weights: Sequence[Tensor | float] = foreground
            if output.key == CLS and self.spec.objectness:
                weights = [objectness[:, :, 0] for objectness in teacher[self._scores[1].name]]
            elif output in self._scores:
                weights = [1.0] * len(foreground)
            total = zero
            pairs = zip(student[output.name], teacher[output.name], weights, strict=True)
            for values, goal, weight in pairs:
                total = total + (output.kind.divergence(values, goal) * weight).sum()
            loss_weight = getattr(getattr(self.head, output.loss, None), 'loss_weight', 1.0)
            factor = target.soft * ramp * loss_weight
            losses[f'loss_{self.prefix}_{output.name}_soft'] = total / norm * factor
        return losses

    def _pair(
        self, outputs: Maps, mapping: GeometricMap
    ) -> tuple[dict[str, Steps], dict[str, Steps]]:
        """Return the student's values by output, without those of padding, and the teacher's.

        Step by step; steps whose scale the teacher's pyramid does not have are left out.
        """
        student, teacher = {}, {}
        for output in self._used:
            values = [output.kind.student(level_map) for level_map in outputs[output.index]]
            values = self.priors.without_padding(self.priors.split(values), mapping.out_size)
            wanted = self._targets(output, mapping, [(v.size(-2), v.size(-1)) for v in values])
            student[output.name] = [v for v, w in zip(values, wanted, strict=True) if w is not None]
            teacher[output.name] = [w for w in wanted if w is not None]
        return student, teacher

    def _targets(
        self, output: DenseOutput, mapping: GeometricMap, sizes: list[tuple[int, int]]
    ) -> list[Tensor | None]:
        """Return the teacher's values of an output for the student's priors, step by step."""

        def rescale(values: Tensor, factor: tuple[float, float]) -> Tensor:
            return output.kind.rescaled(values, mapping.scale if output.in_pixels else factor)

        turned = [output.kind.turned(values, mapping) for values in self.teacher[output.name]]
        if mapping.turns % 2:
            turned = [values[:, self.priors.turned_anchors] for values in turned]
        return self.priors.targets(turned, mapping, sizes, rescale)

    def _foreground(self, probabilities: dict[str, Steps]) -> Steps:
        """Return how much each prior (N, A, h, w) of each step is taken for an object."""
        scores, *objectness = self._scores
        foreground = [scores.kind.foreground_score(p) for p in probabilities[scores.name]]
        for output in objectness:
            pairs = zip(foreground, probabilities[output.name], strict=True)
            foreground = [score * there[:, :, 0] for score, there in pairs]
        return foreground

    def _hard_losses(self, outputs: Maps, samples: SampleList, mapping: GeometricMap) -> Losses:
        """Compute the stock losses on the moved labels, by the head's own assigner and sampler."""
        moved = move_samples([self._boxes_only(sample) for sample in samples], mapping)
        objects, ignored, metas = unpack_gt_instances(moved)
        # Lists of their own: FSAF replaces their members.
        own = [list(output) for output in outputs]
        losses = self.head.loss_by_feat(*own, objects, metas, ignored)
        keys = {o.name: (o.key,) for o in self.spec.outputs} | dict(self.spec.joint_losses)
        hard = {}
        for name, value in losses.items():
            if 'loss' not in name:
                continue
            stem = name.removeprefix('loss_').removesuffix('_loss').removeprefix('rpn_')
            weight = self.targets[keys[stem][0]].hard
            if weight:
                levels = [value] if isinstance(value, Tensor) else value
                total = sum((level.mean() for level in levels), levels[0].new_zeros(()))
                hard[f'loss_{self.prefix}_{stem}_hard'] = total * weight
        return hard

    def _boxes_only(self, sample: DetDataSample) -> DetDataSample:
        """Return a copy of a data sample with boxes and labels only: masks are slow to move."""
        copy = DetDataSample(metainfo=sample.metainfo)
        for name in ('gt_instances', 'ignored_instances'):
            if name in sample:
                fields = {k: v for k, v in sample.get(name).items() if k in ('bboxes', 'labels')}
                setattr(copy, name, InstanceData(**fields))
        return copy


class RPNDistiller(DenseDistiller):
    """Trains objectness and deltas of a region proposal network: a dense head of one class."""

    prefix = 'rpn'

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` is mmdet's region proposal network, anchors on several scales."""
        return isinstance(head, RPNHead) and super().supports(head)

    def _boxes_only(self, sample: DetDataSample) -> DetDataSample:
        """Return a copy of a data sample with boxes only, all of the one class: object."""
        copy = super()._boxes_only(sample)
        copy.gt_instances.labels = torch.zeros_like(copy.gt_instances.labels)
        return copy
