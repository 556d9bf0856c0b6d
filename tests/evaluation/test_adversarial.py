"""FGSM by hand."""

import pytest
import torch
from torch import nn

from mmgradaug.classification.preprocessor import ImagePreprocessor
from mmgradaug.evaluation.adversarial import attack


class Linear(nn.Linear):
    """Logits of a linear layer."""

    data_preprocessor = ImagePreprocessor(mean=[100.0, 120.0, 140.0], std=[50.0, 60.0, 70.0])

    def forward(self, images):
        return super().forward(images.flatten(1))


def test_steps_are_of_their_unit_and_end_at_black_and_white():
    torch.manual_seed(0)
    network, seen = Linear(9, 4), []
    network.register_forward_pre_hook(lambda _, images: seen.append(images[0].detach()))
    image = torch.tensor([[100, 0, 255], [120, 0, 255], [140, 0, 255]], dtype=torch.uint8)
    attack(network, [{'inputs': [image[:, None]], 'data_samples': [0]}], [0.1])
    _, clean, *moved = seen  # the first one for its gradient
    for found, step in zip(moved, [(0.51, 0.425, 2.55 / 7), (0.1, 0.1, 0.1)], strict=True):
        assert (found - clean)[0, :, 0, 0].abs().tolist() == pytest.approx(step)
        assert torch.equal(found, found.clamp(clean[..., 1:2], clean[..., 2:]))
        assert 0 < (found == clean).sum() < 6


def test_accuracies_by_hand():
    """Two classes told apart by a pixel's red, at its mean: what is nearer than epsilon falls."""
    network = Linear(3, 2, bias=False)
    network.weight.data = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    images = torch.full((6, 3, 1, 1), 120, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor([95, 104, 90, 130, 60, 103])
    labels = [0, 1, 0, 1, 0, 0]  # the last one is wrong without an attack
    parts = slice(0, 4), slice(4, 6)
    batches = [{'inputs': list(images[part]), 'data_samples': labels[part]} for part in parts]
    # Steps of 7.65 and 35.7 values in pixels, of 1.5 and 7 in standard deviations of red.
    assert attack(network, batches, (0.03, 0.14)) == {
        'clean': pytest.approx([500 / 6]),
        'pixels': pytest.approx([300 / 6, 100 / 6]),
        'normalised': pytest.approx([500 / 6, 300 / 6]),
    }
