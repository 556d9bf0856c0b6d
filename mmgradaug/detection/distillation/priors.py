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

from ...errors import ConfigError
from ...transforms import GeometricMap
from .scale_space import Stride


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
        """Return the priors of mmdet's generator; None unless they are alike on several scales."""
        strides = sizes = list(generator.strides)
        steps, groups = getattr(generator, 'base_anchors', None), None
        offset = getattr(generator, 'offset' if steps is None else 'center_offset', 0.0)
        if getattr(generator, 'centers', None) is not None:
            return None
        if steps is not None and len(strides) == 1:
            groups, sizes = _groups_by_size(steps[0])
            steps = [steps[0][group] for group in groups]
            strides = strides * len(groups)
        areas = [x * y for x, y in sizes]
        if len(areas) < 2 or any(small >= large for small, large in pairwise(areas)):
            return None
        if steps is None:
            return cls(strides, sizes, offset)
        units = []
        for anchors, size, stride in zip(steps, sizes, strides, strict=True):
            centre = anchors.new_tensor([*stride, *stride]) * offset
            units.append((anchors - centre) / anchors.new_tensor([*size, *size]))
        first = units[0]
        if any(u.shape != first.shape or not torch.allclose(u, first, atol=1e-3) for u in units):
            return None
        return cls(strides, sizes, offset, first, groups)

    def split(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the values (N, A, V, H, W) of each step, given those of each level."""
        if self.groups is None:
            return list(levels)
        return [levels[0][:, list(group)] for group in self.groups]

    def without_padding(self, steps: Sequence[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """Return the cells (..., h, w) whose priors are centred on the image, not on padding."""
        height, width = image_size
        cropped = []
        for values, (stride_x, stride_y) in zip(steps, self.strides, strict=True):
            rows = math.ceil(height / stride_y - self.offset)
            columns = math.ceil(width / stride_x - self.offset)
            cropped.append(values[..., :rows, :columns])
        return cropped

    def factor(self, mapping: GeometricMap, source: int, target: int) -> Stride:
        """Return how much longer (x, y) a length is in units of a student's step than a teacher's.

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
        """Return for each anchor the index of the one that a quarter turn makes of it.

        Raises:
            ConfigError: If one has no counterpart, such as a wide anchor without a tall one.
        """
        if self.anchors is None:
            return [0]
        sizes = self.anchors[:, 2:] - self.anchors[:, :2]
        nearest, index = torch.cdist(sizes.flip(1).float(), sizes.float()).min(dim=1)
        if (nearest > 0.02 * sizes.max()).any():
            raise ConfigError(
                f'anchors of sizes {sizes.tolist()} (in strides) have no counterparts under a '
                'quarter turn: use ratios in pairs such as [0.5, 1.0, 2.0], drop RandomRotate from '
                "gradaug.transform, or set the outputs of this head in gradaug.distill to 'hard'"
            )
        return index.tolist()


def _groups_by_size(anchors: Tensor) -> tuple[list[list[int]], list[Stride]]:
    """Return indices of anchors (A, 4) of one size, and that size, from small to large."""
    lengths = anchors[:, 2:] - anchors[:, :2]
    sizes = lengths.prod(dim=1).sqrt().tolist()
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if not groups or sizes[index] > 1.01 * sizes[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return [sorted(group) for group in groups], [(sizes[g[0]], sizes[g[0]]) for g in groups]
