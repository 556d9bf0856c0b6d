"""What the outputs of dense heads mean: how they are read, moved and compared.

Values have the shape (N, A, V, h, w): images, priors a cell, values a prior, cells. Here are
scores and qualities; boxes are in ``dense_boxes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ...transforms import GeometricMap
from .divergence import bernoulli_kl, distribution_kl

Factor = tuple[float, float]


class OutputKind(Protocol):
    """What an output means."""

    def student(self, raw: Tensor) -> Tensor:
        """The head's map (N, A * V, h, w) in the form that :meth:`divergence` compares."""

    def teacher(self, raw: Tensor) -> Tensor:
        """The head's map in the form that may be interpolated between cells and scales."""

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """A teacher's values after the turns of the mapping."""

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """A teacher's values in units that are smaller by the factors (x, y)."""

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """Of each prior (N, A, h, w), 0 or more; 0 with gradient 0 where both agree."""


class ScoreKind(OutputKind, Protocol):
    """Class scores."""

    def probabilities(self, student: Tensor) -> Tensor:
        """Probabilities of logits."""

    def presence(self, probabilities: Tensor) -> Tensor:
        """How much each prior (N, A, h, w) is taken for an object, 0 to 1."""


class _Unmoved:
    """Of a value that neither turning nor rescaling an image changes."""

    def turned(self, values: Tensor, mapping: GeometricMap) -> Tensor:
        """The same."""
        return values

    def rescaled(self, values: Tensor, factor: Factor) -> Tensor:
        """The same."""
        return values


@dataclass(frozen=True)
class SigmoidScores(_Unmoved):
    """Independent probabilities of classes, or of one quality.

    Attributes:
        classes: Values a prior.
        activated: Whether the head gives probabilities, instead of logits.
    """

    classes: int = 1
    activated: bool = False

    def student(self, raw: Tensor) -> Tensor:
        """Logits."""
        values = raw.unflatten(1, (-1, self.classes)).float()
        return values.logit(eps=1e-6) if self.activated else values

    def probabilities(self, student: Tensor) -> Tensor:
        """Probabilities of logits."""
        return student.sigmoid()

    def teacher(self, raw: Tensor) -> Tensor:
        """Probabilities."""
        return self.probabilities(self.student(raw))

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """KL divergence, summed over classes."""
        return bernoulli_kl(student, target).sum(dim=2)

    def presence(self, probabilities: Tensor) -> Tensor:
        """The probability of the likeliest class."""
        return probabilities.amax(dim=2)


@dataclass(frozen=True)
class SoftmaxScores(_Unmoved):
    """Probabilities of exclusive classes, the last one background."""

    classes: int

    def student(self, raw: Tensor) -> Tensor:
        """Logits."""
        return raw.unflatten(1, (-1, self.classes)).float()

    def probabilities(self, student: Tensor) -> Tensor:
        """Probabilities of logits."""
        return student.softmax(dim=2)

    def teacher(self, raw: Tensor) -> Tensor:
        """Probabilities."""
        return self.probabilities(self.student(raw))

    def divergence(self, student: Tensor, target: Tensor) -> Tensor:
        """KL divergence."""
        return distribution_kl(student, target, dim=2)

    def presence(self, probabilities: Tensor) -> Tensor:
        """The probability of any class but background."""
        return 1 - probabilities[:, :, -1]
