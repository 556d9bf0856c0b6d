"""Where and how large a dense head's priors (anchors or points) are, from scale to scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...transforms import GeometricMap
from .scale_space import Rescale, Stride, scale_space_target


@dataclass(frozen=True)
class PriorPyramid:
    """A head's priors, ordered by scale: the same ones on each step, times its size.

    On a feature pyramid a step is a level. On a single level, such as YOLOF's, it is the
    anchors of one size.

    Attributes:
        strides: Cell sizes (x, y) of the steps in pixels.
        sizes: Sizes (x, y) of the steps' priors in pixels; the strides on a feature pyramid.
        offset: Where in its cell a prior is centred, in cells.
        anchors: Anchors (A, 4) of a step in units of its size; None for points, with A = 1.
        groups: On a single level, which of its anchors each step has; else None.
    """

    strides: Sequence[Stride]
    sizes: Sequence[Stride]
    offset: float
    anchors: Tensor | None = None
    groups: Sequence[Sequence[int]] | None = None

    @classmethod
    def of(cls, generator: Any) -> PriorPyramid | None:
        """The priors of mmdet's generator; None unless they are alike on two or more scales."""
        strides = list(generator.strides)
        base_anchors = getattr(generator, 'base_anchors', None)
        if base_anchors is None:
            pyramid = cls(strides, strides, getattr(generator, 'offset', 0.0))
        elif getattr(generator, 'centers', None) is not None:
            return None
        elif len(strides) == 1:
            groups, sizes = _groups_by_size(base_anchors[0])
            steps = [base_anchors[0][group] for group in groups]
            pyramid = cls(strides * len(groups), sizes, generator.center_offset, groups=groups)
        else:
            steps, pyramid = base_anchors, cls(strides, strides, generator.center_offset)
        if len(pyramid.sizes) < 2 or not _is_growing(pyramid.sizes):
            return None
        return pyramid if base_anchors is None else pyramid._with_anchors(steps)

    def _with_anchors(self, steps: Sequence[Tensor]) -> PriorPyramid | None:
        """Itself with its anchors, if they are the same on all steps in units of their sizes."""
        units = []
        for anchors, size, stride in zip(steps, self.sizes, self.strides, strict=True):
            centre = anchors.new_tensor([*stride, *stride]) * self.offset
            units.append((anchors - centre) / anchors.new_tensor([*size, *size]))
        first = units[0]
        if not all(u.shape == first.shape and torch.allclose(u, first, atol=1e-3) for u in units):
            return None
        return PriorPyramid(self.strides, self.sizes, self.offset, first, self.groups)

    def split(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Values (N, A, V, H, W) of each level, as those of each step."""
        if self.groups is None:
            return list(levels)
        return [levels[0][:, list(group)] for group in self.groups]

    def without_padding(self, steps: Sequence[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """The cells (..., h, w) whose priors are centred on the image, not on its padding."""
        height, width = image_size
        cropped = []
        for values, (stride_x, stride_y) in zip(steps, self.strides, strict=True):
            rows = math.ceil(height / stride_y - self.offset)
            columns = math.ceil(width / stride_x - self.offset)
            cropped.append(values[..., :rows, :columns])
        return cropped

    def targets(
        self,
        teacher: Sequence[Tensor],
        mapping: GeometricMap,
        sizes: Sequence[tuple[int, int]],
        rescale: Rescale | None = None,
    ) -> list[Tensor | None]:
        """What a teacher says of a student's priors; see :func:`scale_space_target`.

        Args:
            teacher: Values (N, A, V, H, W) of each step, turned for ``mapping``, while the
                order of anchors is still the original one.
            mapping: The transform of the student's images.
            sizes: Height and width of the student's steps.
            rescale: See :func:`scale_space_target`.
        """
        if mapping.turns % 2 and self.anchors is not None:
            teacher = [values[:, self.turned_anchors] for values in teacher]
        return scale_space_target(
            teacher, self.strides, mapping, sizes, self.offset, self.sizes, rescale
        )

    def factor(self, mapping: GeometricMap, source: int, target: int) -> Stride:
        """How much longer (x, y) a length is in units of a student's step than of a teacher's.

        Args:
            mapping: The transform of the student's images.
            source: The teacher's step.
            target: The student's step.
        """
        unit_x, unit_y = self.sizes[source]
        if mapping.turns % 2:
            unit_x, unit_y = unit_y, unit_x
        scale_x, scale_y = mapping.scale
        own_x, own_y = self.sizes[target]
        return unit_x * scale_x / own_x, unit_y * scale_y / own_y

    @cached_property
    def turned_anchors(self) -> list[int]:
        """For each anchor the index of the one that a quarter turn makes of it.

        Raises:
            ValueError: If one has no counterpart, such as a wide anchor without a tall one.
        """
        return [0] if self.anchors is None else turned_anchors(self.anchors)


def turned_anchors(anchors: Tensor) -> list[int]:
    """For each anchor (A, 4) around the origin the index of its counterpart after a quarter turn.

    Raises:
        ValueError: If one has no counterpart, such as a wide anchor without a tall one.
    """
    sizes = torch.stack([anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]], dim=1)
    distance = torch.cdist(sizes.flip(1).float(), sizes.float())
    nearest, index = distance.min(dim=1)
    if (nearest > 0.02 * sizes.max()).any():
        raise ValueError(
            f'anchors of sizes {sizes.tolist()} (in strides) have no counterparts under a quarter '
            'turn: use ratios in pairs such as [0.5, 1.0, 2.0], drop RandomRotate from '
            "gradaug.transform, or set the outputs of this head in gradaug.distill to 'hard'"
        )
    return index.tolist()


def _groups_by_size(anchors: Tensor) -> tuple[list[list[int]], list[Stride]]:
    """Indices of anchors (A, 4) of one size, and that size, from small to large."""
    lengths = anchors[:, 2:] - anchors[:, :2]
    sizes = lengths.prod(dim=1).sqrt().tolist()
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if not groups or sizes[index] > 1.01 * sizes[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return [sorted(group) for group in groups], [(sizes[g[0]], sizes[g[0]]) for g in groups]


def _is_growing(sizes: Sequence[Stride]) -> bool:
    """Whether each size is larger than the one before."""
    return all(a[0] * a[1] < b[0] * b[1] for a, b in pairwise(sizes))
