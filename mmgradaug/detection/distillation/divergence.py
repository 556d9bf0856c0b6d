"""Losses between a student's outputs and its teacher's.

Each is zero, and so is its gradient, where student and teacher agree. Logits are compared in
float32 whatever the precision of the forward.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def categorical_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the KL divergence (N,) of softmax distributions, of logits (N, C) of both."""
    log_student = F.log_softmax(student.float(), dim=1)
    log_teacher = F.log_softmax(teacher.float(), dim=1)
    return F.kl_div(log_student, log_teacher, reduction='none', log_target=True).sum(dim=1)


def distribution_kl(student: Tensor, teacher: Tensor, dim: int = 1) -> Tensor:
    """Return the KL divergence (N, ...) of softmax distributions over a dimension.

    Of logits (N, C, ...), or with C elsewhere, from probabilities of the same shape.
    """
    log_student = F.log_softmax(student.float(), dim=dim)
    return F.kl_div(log_student, teacher.float(), reduction='none').sum(dim=dim)


def bernoulli_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the KL divergence of yes/no distributions: logits from probabilities of any shape."""
    teacher = teacher.float()
    cross = F.binary_cross_entropy_with_logits(student.float(), teacher, reduction='none')
    entropy = -(torch.xlogy(teacher, teacher) + torch.xlogy(1 - teacher, 1 - teacher))
    return cross - entropy


def set_agreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the intersection over union of two boolean tensors as sets; 1 if both are empty."""
    union = (student | teacher).sum()
    return ((student & teacher).sum() + (union == 0)) / union.clamp(min=1)
