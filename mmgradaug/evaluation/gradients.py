"""How much each loss term of each pass pulls on the weights.

Gradients of n + 1 losses add up, so the full network's own loss counts for less than in plain
training, above all under a clip or an optimizer that normalises. This measures by how much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..training import Subnet


@dataclass
class TermGradient:
    """One loss term of one pass.

    Attributes:
        pass_name: ``full`` or ``subnet1``, ...
        term: Name of the loss.
        loss: Its value, weights included.
        norm: Euclidean norm of its gradient over all trained parameters.
        cosine: Cosine of its gradient with the summed gradient of the full pass.
    """

    pass_name: str
    term: str
    loss: float
    norm: float
    cosine: float


def measure_gradients(
    model: Any, batch: dict[str, Any], subnets: Iterable[Subnet]
) -> list[TermGradient]:
    """Gradient of every loss term of a training step, one at a time.

    Args:
        model: A detector with GradAug's training step, in training mode.
        batch: A preprocessed batch.
        subnets: The sub-networks of the step.

    Returns:
        One entry a term, and one named ``total`` a pass, in the order they are trained.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    with model.teaching():
        losses = _terms(model, model(**batch, mode='full'))
        full = _gradient(sum(losses.values()), parameters)
        rows = _rows('full', losses, parameters, full)
        for number, subnet in enumerate(subnets, start=1):
            images, mapping = subnet.transform(batch['inputs'])
            with subnet.active_in(model):
                images = model.pad_images(images)
                raw = model(images, batch['data_samples'], mode='subnet', mapping=mapping)
                losses = _terms(model, raw)
                rows += _rows(f'subnet{number}', losses, parameters, full)
    return rows


def _terms(model: Any, raw: dict[str, Any]) -> dict[str, Tensor]:
    """The loss terms of a pass that can have a gradient."""
    values = model.parse_losses(raw)[1]
    return {
        name: value
        for name, value in values.items()
        if 'loss' in name and name != 'loss' and not name.endswith('_untrained')
    }


def _gradient(loss: Any, parameters: list[Tensor]) -> Tensor:
    """Gradient of a loss as one vector; zero where a parameter has no part in it."""
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(grads, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def _rows(
    name: str, losses: dict[str, Tensor], parameters: list[Tensor], full: Tensor
) -> list[TermGradient]:
    """An entry a term and one for their sum."""
    rows = []
    for term, loss in {**losses, 'total': sum(losses.values())}.items():
        gradient = _gradient(loss, parameters)
        norms = gradient.norm() * full.norm()
        cosine = float(gradient @ full / norms) if norms > 0 else 0.0
        value = float(torch.as_tensor(loss).detach())
        rows.append(TermGradient(name, term, value, float(gradient.norm()), cosine))
    return rows
