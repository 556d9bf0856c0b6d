"""What the outputs of dense heads mean: how they are read, moved and compared.

Values have the shape (N, A, V, h, w): images, priors a cell, values a prior, cells. In units of
the priors' size boxes are the same numbers one scale up; between scales their unit changes by a
factor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...transforms import GeometricMap
from .divergence import bernoulli_kl, distribution_kl

Factor = tuple[float, float]


class OutputKind:
    """What an output means; by itself a value that no transform of the image changes."""

    def student(self, raw: Tensor) -> Tensor:
        """Return the head's map (N, A * V, h, w) in the form that :meth:`divergence` compares."""
        raise NotImplementedError

    def teacher(self, raw: Tensor) -> Tensor:
        """Return the head's map in a form that may be interpolated between cells and scales."""
        return self.student(raw)

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Return a teacher's values after the turns of the mapping."""
        return values

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Return a teacher's values in units that are smaller by the factors (x, y)."""
        return values

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return that of each prior (N, A, h, w): 0 with gradient 0 where both agree."""
        raise NotImplementedError


@dataclass(frozen=True)
class SigmoidScores(OutputKind):
    """Independent probabilities of classes, or of one quality."""

    classes: int = 1  # values a prior
    activated: bool = False  # whether the head gives probabilities, instead of logits

    def student(self, raw: Tensor) -> Tensor:
        """Return logits."""
        values = raw.unflatten(1, (-1, self.classes)).float()
        return values.logit(eps=1e-6) if self.activated else values

    def probabilities(self, student: Tensor) -> Tensor:
        """Return probabilities of logits."""
        return student.sigmoid()

    def teacher(self, raw: Tensor) -> Tensor:
        """Return probabilities."""
        return self.probabilities(self.student(raw))

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the KL divergence, summed over classes."""
        return bernoulli_kl(student, target).sum(dim=2)

    def foreground_score(self, probabilities: Tensor) -> Tensor:
        """Return how much each prior (N, A, h, w) is taken for an object, 0 to 1."""
        return probabilities.amax(dim=2)


@dataclass(frozen=True)
class SoftmaxScores(SigmoidScores):
    """Probabilities of exclusive classes, the last one background."""

    def probabilities(self, student: Tensor) -> Tensor:
        """Return probabilities of logits."""
        return student.softmax(dim=2)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the KL divergence."""
        return distribution_kl(student, target, dim=2)

    def foreground_score(self, probabilities: Tensor) -> Tensor:
        """Return the probability of any class but background."""
        return 1 - probabilities[:, :, -1]


@dataclass(frozen=True)
class Deltas(OutputKind):
    """Box deltas (dx, dy, dw, dh) from priors, in units of their size and as logarithms."""

    means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # of the box coder
    stds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # of it; the error counts in units of them

    def student(self, raw: Tensor) -> Tensor:
        """Return deltas as the box coder decodes them."""
        values = raw.unflatten(1, (-1, 4)).float()
        means, stds = (values.new_tensor(v).view(4, 1, 1) for v in (self.means, self.stds))
        return values * stds + means

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Return deltas of the turned box from the turned prior."""
        return mapping.deltas(values.movedim(2, -1)).movedim(-1, 2)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Multiply shifts, and add to logarithms of sizes."""
        factors = values.new_tensor(factor).view(2, 1, 1)
        return torch.cat([values[:, :, :2] * factors, values[:, :, 2:] + factors.log()], dim=2)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error in standard deviations, summed over the four."""
        stds = student.new_tensor(self.stds).view(4, 1, 1)
        return ((student - target).abs() / stds).sum(dim=2)


@dataclass(frozen=True)
class Distances(OutputKind):
    """Distances (left, top, right, bottom) from a prior's centre to the sides of its box."""

    # Makes distances (N, A, 4, h, w) of the head's map, in pixels or the priors' size.
    read: Callable[[Tensor], Tensor]

    def student(self, raw: Tensor) -> Tensor:
        """Return distances in pixels or the priors' size."""
        return self.read(raw)

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Return distances to the sides of the turned box."""
        return mapping.sides(values, dim=2)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Multiply lengths."""
        return values * values.new_tensor([*factor, *factor]).view(4, 1, 1)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error, summed over sides, in units of half the mean target side."""
        half = target.mean(dim=2).clamp(min=1.0)
        return (student - target).abs().sum(dim=2) / half


class LogDistances(Distances):
    """Logarithms of distances to the sides of the box."""

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Add to logarithms."""
        return values + values.new_tensor([*factor, *factor]).log().view(4, 1, 1)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error, summed over sides."""
        return (student - target).abs().sum(dim=2)


@dataclass(frozen=True)
class SideDistributions(OutputKind):
    """A distribution over whole distances, in cells, of each side of the box (GFL)."""

    bins: int  # distances a side, from 0

    def student(self, raw: Tensor) -> Tensor:
        """Return logits (N, A, 4, bins, h, w)."""
        return raw.unflatten(1, (-1, 4, self.bins)).float()

    def teacher(self, raw: Tensor) -> Tensor:
        """Return probabilities (N, A, 4, bins, h, w)."""
        return self.student(raw).softmax(dim=3)

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """Return distributions of the sides of the turned box."""
        return mapping.sides(values, dim=2)

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """Return each bin's mass at its new distance, shared by the two bins beside it."""
        if factor == (1.0, 1.0):
            return values
        bins = torch.arange(self.bins, dtype=values.dtype, device=values.device)
        # How much of each bin's mass (columns) goes to each bin (rows), side by side.
        places = [(bins * f).clamp(max=self.bins - 1) for f in (*factor, *factor)]
        moves = torch.stack([(1 - (bins[:, None] - p).abs()).clamp(min=0) for p in places])
        with torch.autocast(values.device.type, enabled=False):
            return torch.einsum('skb,nasbhw->naskhw', moves, values)

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Return the KL divergence, mean over sides."""
        return distribution_kl(student, target, dim=3).mean(dim=2)


def read_distances(raw: Tensor, order: tuple[int, ...] = (0, 1, 2, 3), unit: float = 1.0) -> Tensor:
    """Read distances of which ``order`` says which one is left, top, right, bottom."""
    return raw.unflatten(1, (-1, 4))[:, :, list(order)].float() * unit


def read_cell_boxes(raw: Tensor, offset: float) -> Tensor:
    """Read boxes (x1, y1, x2, y2) in the image, in cells; priors are centred at ``offset``."""
    x1, y1, x2, y2 = raw.unflatten(1, (-1, 4)).float().unbind(dim=2)
    x = torch.arange(raw.size(-1), device=raw.device) + offset
    y = (torch.arange(raw.size(-2), device=raw.device) + offset)[:, None]
    return torch.stack([x - x1, y - y1, x2 - x, y2 - y], dim=2)


def read_point_sets(raw: Tensor, head: Any) -> Tensor:
    """Read the boxes around points, in cells around the prior, that a ``RepPointsHead`` makes."""
    x1, y1, x2, y2 = head.points2bbox(raw.float()).unbind(dim=1)
    return torch.stack([-x1, -y1, x2, y2], dim=1)[:, None]


def read_expected_distances(raw: Tensor, bins: int) -> Tensor:
    """Read the means, in cells, of distributions over the distances 0 to ``bins - 1`` (GFL)."""
    probabilities = raw.float().unflatten(1, (-1, 4, bins)).softmax(dim=3)
    distances = torch.arange(bins, dtype=probabilities.dtype, device=raw.device)
    return (probabilities * distances.view(-1, 1, 1)).sum(dim=3)
