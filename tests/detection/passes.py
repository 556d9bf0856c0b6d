"""The full pass and a sub-network's pass of a detector, one at a time."""

import copy
from unittest import mock

import torch

from mmgradaug import at_width

SOFT = dict(rpn_cls='soft', rpn_bbox='soft', roi_cls='soft', roi_bbox='soft', roi_mask='soft')
HARD = dict.fromkeys(SOFT, 'hard')
BOTH = dict.fromkeys(SOFT, 'both')
OFF = dict.fromkeys(SOFT, 'off')


def preprocessed(model, data):
    return model.data_preprocessor(copy.deepcopy(data), True)


def full_losses(model, data):
    """Run and record the full pass of a preprocessed batch."""
    torch.manual_seed(0)
    return model(**copy.deepcopy(data), mode='full')


def taught(model, data):
    """Run and record the full pass; returns the preprocessed batch."""
    data = preprocessed(model, data)
    full_losses(model, data)
    return data


def watched(owner, *methods):
    """Put mocks on an object alone, as users and hooks do, that run its methods; their parent."""
    parent = mock.Mock()
    for method in methods:
        getattr(parent, method).side_effect = getattr(owner, method)
        setattr(owner, method, getattr(parent, method))
    return parent


def subnet_losses(model, data, transform, width=1.0):
    """Forward and backward of a sub-network."""
    images, mapping = transform(data['inputs'])
    images = model.pad_images(images, mapping.in_size)
    samples = copy.deepcopy(data['data_samples'])
    torch.manual_seed(0)
    with at_width(model, width):
        losses = model(images, samples, mode='subnet', mapping=mapping)
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
    return losses
