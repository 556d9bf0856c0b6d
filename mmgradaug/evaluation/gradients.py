"""How much each loss term of each pass pulls on the weights.

Gradients of n + 1 losses add up, so the full network's own loss counts for less than in plain
training, above all under a clip or an optimizer that normalises. This measures by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..training import Subnet
from ..training.step import pass_weights, run_pass, running_as


@dataclass
class TermGradient:
    """One loss term of one pass."""

    pass_name: str  # ``full`` or ``subnet1``, ...
    term: str
    loss: float  # all weights included
    norm: float  # Euclidean, of the gradient over all trained parameters
    cosine: float  # of the gradient with the summed one of the full pass


def measure_gradients(
    model: Any, batch: dict[str, Any], subnets: Sequence[Subnet]
) -> list[TermGradient]:
    """Return the gradient of every loss term of a training step, and of each pass's ``total``.

    The detector or classifier is in training mode, with GradAug's training step; the batch is
    preprocessed.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    rows: list[TermGradient] = []
    full = None
    weights = pass_weights(model, len(subnets))
    try:
        for number, (weight, subnet) in enumerate(zip(weights, [None, *subnets], strict=True)):
            with running_as(model, subnet):
                losses = model.parse_losses(run_pass(model, batch, subnet)[0])[1]
                losses['total'] = losses.pop('loss')
                if full is None:
                    full = _gradient(losses['total'], parameters)
                for term, loss in losses.items():
                    if term != 'total' and ('loss' not in term or term.endswith('_untrained')):
                        continue
                    gradient = weight * _gradient(loss, parameters)
                    norm, norms = float(gradient.norm()), gradient.norm() * full.norm()
                    cosine = float(gradient @ full / norms) if norms > 0 else 0.0
                    name, value = f'subnet{number}' if subnet else 'full', float(loss.detach())
                    rows.append(TermGradient(name, term, weight * value, norm, cosine))
    finally:
        model.clear()
    return rows


def _gradient(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """Return the gradient of a loss as one vector; zero where a parameter has no part in it."""
    if loss.requires_grad:
        # The layers that mmdet recomputes (with_cp) know of no other way.
        loss.backward(retain_graph=True)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return torch.cat([gradient.flatten() for gradient in grads])
