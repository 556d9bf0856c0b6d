"""Where in a feature pyramid the teacher looked at what a student sees in a rescaled image.

A prior (anchor or point) of level l in an image scaled by s covers what level l + log2(1/s) covers
in the original. So a student's soft target on a level is read between the two nearest levels of
the teacher, at the place the cell's prior comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ConfigError
from ...transforms import GeometricMap

Pair = tuple[float, float]
WHOLE = 1e-3  # a cell index this near a whole number is that number


@dataclass(frozen=True)
class PriorPyramid:
    """A head's priors, ordered by scale: the same ones on each step, times its size.

    On a feature pyramid a step is a level. On a single level, such as YOLOF's, it is the
    anchors of one size.
    """

    strides: Sequence[Pair]  # cell sizes (x, y) of the steps in pixels
    sizes: Sequence[Pair]  # of the steps' priors in pixels; the strides on a feature pyramid
    offset: float  # where in its cell a prior is centred, in cells
    anchors: Tensor | None = None  # (A, 4) of a step in units of its size; None for points, A = 1
    groups: Sequence[Sequence[int]] | None = None  # on a single level, the anchors of each step

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

    def targets(
        self,
        teacher: Sequence[Tensor],
        mapping: GeometricMap,
        sizes: Sequence[tuple[int, int]],
        rescale: Callable[[Tensor, Pair], Tensor] = lambda values, factor: values,
    ) -> list[Tensor | None]:
        """Read the targets of a student's steps from the teacher's steps.

        Args:
            teacher: One map (N, ..., H_t, W_t) a step, channels already turned for ``mapping``.
            mapping: The transform of the student's images.
            sizes: Height and width of the student's steps.
            rescale: Called with values of a teacher's step and how much longer (x, y) a length
                is in units of the student's step.

        Returns:
            One map (N, ..., h, w) a step; None for a step without cells, or whose scale the
            teacher's pyramid misses by more than half a level.
        """
        logs = [math.log2(x * y) / 2 for x, y in self.sizes]
        scale_x, scale_y = mapping.scale
        zoom = math.log2(scale_x * scale_y) / 2
        targets: list[Tensor | None] = []
        for step, size in enumerate(sizes):
            wanted, own = logs[step] - zoom, self.sizes[step]
            if 0 in size or not logs[0] - 0.5 <= wanted <= logs[-1] + 0.5:
                targets.append(None)
                continue
            position = float(np.interp(wanted, logs, range(len(logs))))
            low = math.floor(position + WHOLE)
            share = position - low  # linearly between the two nearest steps
            points = mapping.source_points(_centres(size, self.strides[step], self.offset))
            values = []
            for source in [low] if abs(share) <= WHOLE else [low, low + 1]:
                cells = points / points.new_tensor(self.strides[source]) - self.offset
                unit = self.sizes[source][:: -1 if mapping.turns % 2 else 1]
                factor = (unit[0] * scale_x / own[0], unit[1] * scale_y / own[1])
                values.append(rescale(_read(teacher[source], cells), factor))
            targets.append(values[0] if len(values) == 1 else values[0].lerp(values[1], share))
        return targets

    @cached_property
    def turned_anchors(self) -> list[int]:
        """Return for each anchor the index of the one that a quarter turn makes of it."""
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


def same_level_target(teacher: Tensor, mapping: GeometricMap) -> Tensor:
    """Read the target of a student's map from the teacher's map of the same level.

    For maps whose cells say what is there and not how large it is, such as a segmentation: from
    (N, C, H_t, W_t), which covers the original batch, to (N, C, h, w), the student's cells whose
    centres lie on the transformed images.
    """
    stride = (mapping.in_size[1] / teacher.size(-1), mapping.in_size[0] / teacher.size(-2))
    height, width = mapping.out_size
    size = (math.ceil(height / stride[1] - 0.5), math.ceil(width / stride[0] - 0.5))
    points = mapping.source_points(_centres(size, stride, 0.5))
    return _read(teacher, points / points.new_tensor(stride) - 0.5)


def _groups_by_size(anchors: Tensor) -> tuple[list[list[int]], list[Pair]]:
    """Return indices of anchors (A, 4) of one size, and that size, from small to large."""
    lengths = anchors[:, 2:] - anchors[:, :2]
    sizes = lengths.prod(dim=1).sqrt().tolist()
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if not groups or sizes[index] > 1.01 * sizes[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return [sorted(group) for group in groups], [(sizes[g[0]], sizes[g[0]]) for g in groups]


def _centres(size: tuple[int, int], stride: Pair, offset: float) -> Tensor:
    """Return the prior centres (h, w, 2) of a level in pixels, (x, y).

    On the CPU: whether they fall on whole cells is asked there, and no GPU has to answer.
    """
    y = (torch.arange(size[0], dtype=torch.float32) + offset) * stride[1]
    x = (torch.arange(size[1], dtype=torch.float32) + offset) * stride[0]
    grid_y, grid_x = torch.meshgrid(y, x, indexing='ij')
    return torch.stack([grid_x, grid_y], dim=-1)


def _read(level: Tensor, cells: Tensor) -> Tensor:
    """Read a map (N, ..., H, W) bilinearly at cell indices (h, w, 2), nearest inside the border.

    Whole indices are read without interpolation, so that a target which is a copy is exact.
    """
    height, width = level.shape[-2:]
    limits = cells.new_tensor([width - 1, height - 1])
    whole = cells.round()
    if (cells - whole).abs().max() < WHOLE:
        index = _to_device(torch.minimum(whole.clamp(min=0), limits).long(), level)
        return level[..., index[..., 1], index[..., 0]]
    grid = _to_device(2 * cells / limits.clamp(min=1) - 1, level).to(level.dtype)
    grid = grid.expand(level.size(0), *grid.shape)
    flat = level.flatten(1, -3)
    sampled = F.grid_sample(flat, grid, 'bilinear', 'border', align_corners=True)
    return sampled.unflatten(1, level.shape[1:-2])


def _to_device(values: Tensor, like: Tensor) -> Tensor:
    """Copy a tensor of the CPU to another one's device, without waiting for what runs there."""
    if like.is_cuda:
        values = values.pin_memory()
    return values.to(like.device, non_blocking=True)
