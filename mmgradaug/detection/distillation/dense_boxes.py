"""What the box outputs of dense heads mean; see :class:`OutputKind`.

In units of the priors' size boxes are the same numbers one scale up; between scales their unit
changes by a factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...transforms import GeometricMap
from .dense_outputs import Factor
from .divergence import distribution_kl


class _Boxes:
    """Values that student and teacher give in the same form."""

    def student(self, raw: Tensor) -> Tensor:
        """The head's map in the form that is compared and interpolated."""
        raise NotImplementedError

    def teacher(self, raw: Tensor) -> Tensor:
        """The same."""
        return self.student(raw)


@dataclass(frozen=True)
class Deltas(_Boxes):
    """Box deltas (dx, dy, dw, dh) from priors, in units of their size and as logarithms.

    Attributes:
        means: Of the box coder.
        stds: Of the box coder; the error counts in units of them.
    """

    means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    stds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    def student(self, raw: Tensor) -> Tensor:
        """Deltas as the box coder decodes them."""
        values = raw.unflatten(1, (-1, 4)).float()
        means, stds = (values.new_tensor(v).view(4, 1, 1) for v in (self.means, self.stds))
        return values * stds + means

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Deltas of the turned box from the turned prior."""
        return mapping.deltas(values.movedim(2, -1)).movedim(-1, 2)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Shifts multiply, logarithms of sizes add."""
        factors = values.new_tensor(factor).view(2, 1, 1)
        return torch.cat([values[:, :, :2] * factors, values[:, :, 2:] + factors.log()], dim=2)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Absolute error in standard deviations, summed over the four."""
        stds = student.new_tensor(self.stds).view(4, 1, 1)
        return ((student - target).abs() / stds).sum(dim=2)


class _Sides(_Boxes):
    """Distances (left, top, right, bottom) from a prior's centre to the sides of its box."""

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Distances to the sides of the turned box."""
        return mapping.sides(values, dim=2)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Lengths multiply."""
        return values * values.new_tensor([*factor, *factor]).view(4, 1, 1)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Absolute error, summed over sides, in units of half the target's mean side."""
        half = target.mean(dim=2).clamp(min=1.0)
        return (student - target).abs().sum(dim=2) / half


@dataclass(frozen=True)
class Distances(_Sides):
    """Distances to the sides of the box, (left, top, right, bottom).

    Attributes:
        order: Which of the head's four values is left, top, right, bottom.
        unit: The head's unit: 1 for pixels or the priors' size, or so many of those.
    """

    order: tuple[int, ...] = (0, 1, 2, 3)
    unit: float = 1.0

    def student(self, raw: Tensor) -> Tensor:
        """In pixels or the priors' size."""
        return raw.unflatten(1, (-1, 4))[:, :, list(self.order)].float() * self.unit


@dataclass(frozen=True)
class LogDistances(Distances):
    """Logarithms of distances to the sides of the box."""

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Logarithms add."""
        return values + values.new_tensor([*factor, *factor]).log().view(4, 1, 1)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Absolute error, summed over sides."""
        return (student - target).abs().sum(dim=2)


@dataclass(frozen=True)
class CellBoxes(_Sides):
    """Boxes (x1, y1, x2, y2) in the image, in cells, compared as distances.

    Attributes:
        offset: Where in its cell a prior is centred, in cells.
    """

    offset: float = 0.0

    def student(self, raw: Tensor) -> Tensor:
        """Distances from the priors' centres, in cells."""
        x1, y1, x2, y2 = raw.unflatten(1, (-1, 4)).float().unbind(dim=2)
        x = torch.arange(raw.size(-1), device=raw.device) + self.offset
        y = (torch.arange(raw.size(-2), device=raw.device) + self.offset)[:, None]
        return torch.stack([x - x1, y - y1, x2 - x, y2 - y], dim=2)


@dataclass(frozen=True)
class PointSets(_Sides):
    """Points around a prior, in cells, compared as the boxes around them.

    Attributes:
        head: The ``RepPointsHead``, which makes boxes of points.
    """

    head: Any

    def student(self, raw: Tensor) -> Tensor:
        """Distances from the prior to the sides of the box, in cells."""
        x1, y1, x2, y2 = self.head.points2bbox(raw.float()).unbind(dim=1)
        return torch.stack([-x1, -y1, x2, y2], dim=1)[:, None]


@dataclass(frozen=True)
class SideDistributions:
    """A distribution over whole distances, in cells, of each side of the box (GFL).

    Attributes:
        bins: Distances a side, from 0.
    """

    bins: int

    def student(self, raw: Tensor) -> Tensor:
        """Logits, side by side."""
        return raw.unflatten(1, (-1, 4 * self.bins)).float()

    def teacher(self, raw: Tensor) -> Tensor:
        """Probabilities, side by side."""
        sides = self.student(raw).unflatten(2, (4, self.bins))
        return sides.softmax(dim=3).flatten(2, 3)

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Distributions of the sides of the turned box."""
        return mapping.sides(values.unflatten(2, (4, self.bins)), dim=2).flatten(2, 3)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Each bin's mass at its new distance, shared by the two bins beside it."""
        if factor == (1.0, 1.0):
            return values
        moves = torch.stack([self._moves(f, values) for f in (*factor, *factor)])
        sides = values.unflatten(2, (4, self.bins))
        with torch.autocast(values.device.type, enabled=False):
            return torch.einsum('skb,nasbhw->naskhw', moves, sides).flatten(2, 3)

    def _moves(self, factor: float, like: Tensor) -> Tensor:
        """How much of each bin's mass (columns) goes to each bin (rows)."""
        bins = torch.arange(self.bins, dtype=like.dtype, device=like.device)
        places = (bins * factor).clamp(max=self.bins - 1)
        return (1 - (bins[:, None] - places).abs()).clamp(min=0)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """KL divergence, mean over sides."""
        student, target = (v.unflatten(2, (4, self.bins)) for v in (student, target))
        return distribution_kl(student, target, dim=3).mean(dim=2)


@dataclass(frozen=True)
class ExpectedDistances(_Sides):
    """Means of the distributions over distances, in cells (GFL).

    Attributes:
        bins: Distances a side, from 0.
    """

    bins: int

    def student(self, raw: Tensor) -> Tensor:
        """Distances to the sides of the box, in cells."""
        probabilities = raw.float().unflatten(1, (-1, 4, self.bins)).softmax(dim=3)
        bins = torch.arange(self.bins, dtype=probabilities.dtype, device=raw.device)
        return (probabilities * bins.view(-1, 1, 1)).sum(dim=3)
