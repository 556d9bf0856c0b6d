"""The full pass and a sub-network's pass of a detector, one at a time."""

import copy

import torch

from mmgradaug import at_width

SOFT = dict(rpn_cls='soft', rpn_bbox='soft', roi_cls='soft', roi_bbox='soft', roi_mask='soft')


def taught(model, data):
    """Run and keep the full pass; returns the preprocessed batch."""
    data = model.data_preprocessor(copy.deepcopy(data), True)
    torch.manual_seed(0)
    model(**data, mode='full')
    return data


def subnet_losses(model, data, transform, width=1.0):
    images, mapping = transform(data['inputs'])
    images = model.pad_images(images)
    with at_width(model, width):
        losses = model(images, data['data_samples'], mode='subnet', mapping=mapping)
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
    return losses
