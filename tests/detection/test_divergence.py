import torch
import torch.nn.functional as F

from mmgradaug.detection.distillation.divergence import (
    bernoulli_kl,
    categorical_kl,
    distribution_kl,
    set_agreement,
)
from tests.networks import random_images


def test_categories_may_be_given_as_probabilities_along_any_dimension():
    student, teacher = random_images(5, 7, seed=1), random_images(5, 7, seed=2)
    found = distribution_kl(student.T, teacher.softmax(1).T, dim=0)
    torch.testing.assert_close(found, categorical_kl(student, teacher))
    certain = torch.eye(7)[:5]
    expected = F.cross_entropy(student, torch.arange(5), reduction='none')
    torch.testing.assert_close(distribution_kl(student, certain, 1), expected)


def test_both_are_zero_with_zero_gradient_at_agreement():
    """Also with a teacher that is certain: at 300 some of its probabilities are 0 and 1."""
    for scale in (1.0, 30.0, 300.0):
        student = (random_images(50, 4) * scale).requires_grad_()
        categorical_kl(student, student.detach()).sum().backward()
        assert student.grad.abs().max() < 1e-6
        student.grad = None
        loss = bernoulli_kl(student, student.detach().sigmoid())
        loss.sum().backward()
        assert student.grad.abs().max() == 0
        assert loss.abs().max() < 1e-5


def test_agreement_of_sets():
    a = torch.tensor([True, True, False, False])
    b = torch.tensor([True, False, True, False])
    assert set_agreement(a, b) == 1 / 3
    assert set_agreement(a & False, a & False) == 1
