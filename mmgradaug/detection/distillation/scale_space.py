"""Where in a feature pyramid the teacher looked at what a student sees in a rescaled image.

An anchor of level l in an image scaled by s covers what level l + log2(1/s) covers in the
original. So a student's soft target on a level is read between the two nearest levels of the
teacher, at the place the cell's prior comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...transforms import GeometricMap

Stride = tuple[float, float]
Rescale = Callable[[Tensor, int, int], Tensor]
WHOLE = 1e-3  # a cell index this near a whole number is that number


def scale_space_target(
    teacher: Sequence[Tensor],
    strides: Sequence[Stride],
    mapping: GeometricMap,
    sizes: Sequence[tuple[int, int]],
    offset: float = 0.0,
    prior_sizes: Sequence[Stride] | None = None,
    rescale: Rescale | None = None,
) -> list[Tensor | None]:
    """Read the targets of a student's levels from the teacher's levels.

    Args:
        teacher: One map (N, ..., H_t, W_t) a level, channels already turned for ``mapping``.
        strides: Cell sizes (x, y) of the levels in pixels.
        mapping: The transform of the student's images.
        sizes: Height and width of the student's levels.
        offset: Where in its cell a prior is centred, in cells (0 for anchors, 0.5 for points).
        prior_sizes: Sizes (x, y) of the levels' priors in pixels, growing; the strides by
            default.
        rescale: Called with a map read from the teacher's level i for the student's level j,
            and i and j, where values are in units that depend on the level.

    Returns:
        One map (N, ..., h, w) a level; None for a level whose scale the teacher's pyramid
        misses by more than half a level.
    """
    logs = [math.log2(x * y) / 2 for x, y in prior_sizes or strides]
    scale_x, scale_y = mapping.scale
    zoom = math.log2(scale_x * scale_y) / 2
    targets: list[Tensor | None] = []
    for level, size in enumerate(sizes):
        position = _level_position(logs, logs[level] - zoom)
        if position is None:
            targets.append(None)
            continue
        low = math.floor(position + WHOLE)
        share = position - low  # linearly between the two nearest levels
        points = mapping.source_points(_centres(size, strides[level], offset))
        values = []
        for source in [low] if abs(share) <= WHOLE else [low, low + 1]:
            found = _read(teacher[source], points / points.new_tensor(strides[source]) - offset)
            values.append(found if rescale is None else rescale(found, source, level))
        targets.append(values[0] if len(values) == 1 else torch.lerp(values[0], values[1], share))
    return targets


def same_level_target(teacher: Tensor, mapping: GeometricMap) -> Tensor:
    """Read the target of a student's map from the teacher's map of the same level.

    For maps whose cells say what is there and not how large it is, such as a segmentation.

    Args:
        teacher: (N, C, H_t, W_t), which covers the original batch.
        mapping: The transform of the student's images.

    Returns:
        (N, C, h, w), the student's cells whose centres lie on the transformed images.
    """
    stride = (mapping.in_size[1] / teacher.size(-1), mapping.in_size[0] / teacher.size(-2))
    height, width = mapping.out_size
    size = (math.ceil(height / stride[1] - 0.5), math.ceil(width / stride[0] - 0.5))
    points = mapping.source_points(_centres(size, stride, 0.5))
    return _read(teacher, points / points.new_tensor(stride) - 0.5)


def _level_position(logs: Sequence[float], wanted: float) -> float | None:
    """Return the fractional index of a log2 size among the levels; None if too far outside."""
    below, above = logs[0] - wanted, wanted - logs[-1]
    if max(below, above) > 0.5:
        return None
    if below >= 0:
        return 0.0
    for i in range(len(logs) - 1):
        if wanted <= logs[i + 1]:
            return i + (wanted - logs[i]) / (logs[i + 1] - logs[i])
    return float(len(logs) - 1)


def _centres(size: tuple[int, int], stride: Stride, offset: float) -> Tensor:
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
