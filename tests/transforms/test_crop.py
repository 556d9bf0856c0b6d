"""Crops of each image are torch's own, drawn as torchvision draws them, and not for detectors."""

import random

import pytest
import torch
import torch.nn.functional as F

from mmgradaug.training import SubnetSampler
from mmgradaug.transforms import (
    GeometricMap,
    RandomResizedCrop,
    ResizedCrop,
    Scale,
    build_transform,
    crop,
    crops_images,
)
from mmgradaug.transforms.crop import draw_crop, resized_crops
from tests.classification.tiny import batch
from tests.classification.tiny import build as build_classifier
from tests.networks import build, detector_config, random_images
from tests.training.test_step import sgd

CROP = dict(type='RandomResizedCrop', scales=[0.75, 0.5], area=(0.2, 0.6), align_corners=True)


@pytest.mark.parametrize('align_corners', [True, False])
def test_each_image_is_interpolated_from_its_own_crop(align_corners):
    images = random_images(5, 3, 30, 40)
    crops = [(0, 0, 30, 40), (3, 5, 20, 11), (29, 39, 1, 1), (10, 0, 7, 40), (0, 25, 30, 15)]
    found = resized_crops(images, crops, (24, 18), align_corners)
    for image, (top, left, height, width), small in zip(images, crops, found, strict=True):
        part = image[None, :, top : top + height, left : left + width]
        expected = F.interpolate(part, (24, 18), mode='bilinear', align_corners=align_corners)
        torch.testing.assert_close(small, expected[0], rtol=0, atol=2e-5)


def test_crops_are_uniform_in_area_log_uniform_in_ratio_and_inside():
    generator = random.Random(0)
    crops = [draw_crop(generator, (300, 300), (0.1, 0.5), (0.5, 2.0)) for _ in range(4000)]
    top, left, height, width = torch.tensor(crops).double().unbind(1)
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 300).all() and (left + width <= 300).all()
    assert top.max() > 150 and left.max() > 150
    area, ratio = height * width / 300**2, (width / height).log2()
    for values, low, high in ((area, 0.1, 0.5), (ratio, -1.0, 1.0)):
        share = torch.quantile(
            (values - low) / (high - low), torch.tensor([0.1, 0.5, 0.9]).double()
        )
        torch.testing.assert_close(share, torch.tensor([0.1, 0.5, 0.9]).double(), rtol=0, atol=0.03)


@pytest.mark.parametrize(('size', 'crop'), [
    ((10, 100), (0, 43, 10, 13)),  # as wide as 4 / 3 of its height, in the middle
    ((100, 10), (43, 0, 13, 10)),
])  # fmt: skip
def test_where_no_crop_fits_it_is_the_largest_in_the_middle(size, crop):
    assert draw_crop(random.Random(0), size, (1.0, 1.0), (3 / 4, 4 / 3)) == crop


def test_the_same_draw_makes_the_same_crops():
    images = random_images(3, 3, 32, 32)
    sampler = SubnetSampler(num_subnets=2, transform=CROP)
    first, second = sampler.sample(0, 5)
    small, mapping = first.transform(images)
    assert mapping == GeometricMap((32, 32), small.shape[-2:], cropped=True)
    assert small.size(-1) in (24, 16)
    assert torch.equal(sampler.sample(0, 5)[0].transform(images)[0], small)
    crops = [subnet.transform.crops(3, (32, 32)) for subnet in (first, second)]
    assert len({*crops[0], *crops[1]}) == 6  # one of its own for each image of each sub-network
    assert crops[0] == sampler.sample(0, 5)[0].transform.crops(3, (32, 32))
    assert crops[0] != sampler.sample(1, 5)[0].transform.crops(3, (32, 32))


def test_each_process_cuts_elsewhere(monkeypatch):
    drawn = SubnetSampler(num_subnets=1, transform=CROP).sample(0, 5)[0].transform
    alone = drawn.crops(3, (32, 32))
    monkeypatch.setattr(crop, 'get_rank', lambda: 1)
    assert drawn.crops(3, (32, 32)) != alone
    assert drawn.crops(3, (32, 32)) == drawn.crops(3, (32, 32))


def test_a_classifiers_sub_networks_train_on_their_crops():
    model = build_classifier(gradaug=dict(transform=CROP))
    seen = []
    hook = model.backbone.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    inputs = model.data_preprocessor(batch(), False)['inputs']
    log = model.train_step(batch(), sgd(model))
    hook.remove()
    subnets = model.sampler.sample(0, 0)
    assert torch.equal(seen[0], inputs)
    for images, subnet in zip(seen[1:3], subnets, strict=True):
        assert torch.equal(images, subnet.transform(inputs)[0])
    assert log['subnet1/loss_cls_soft'].isfinite()


def test_detectors_refuse_crops():
    for transform in (CROP, [dict(type='RandomRotate'), CROP]):
        assert crops_images(build_transform(transform))
        with pytest.raises(ValueError, match=r'gradaug\.transform crops images.*for classifiers'):
            build(detector_config(transform=transform))
    assert not crops_images(build_transform([dict(type='RandomRotate')]))
    _, mapping = ResizedCrop(Scale(0.5), (0.5, 1.0), (1.0, 1.0), 0)(random_images(1, 3, 8, 8))
    mapping = GeometricMap((8, 8), (8, 8)).then(mapping)
    for call in (mapping.boxes, mapping.source_points):
        with pytest.raises(ValueError, match='each elsewhere, so that boxes and points cannot'):
            call(torch.ones(1, 4))


@pytest.mark.parametrize('options', [
    dict(area=(0.0, 1.0)), dict(area=(0.5, 1.5)), dict(area=0.5), dict(area=(0.6, 0.5)),
    dict(ratio=(0.0, 1.0)), dict(ratio=(1.0, float('inf'))), dict(scales=[]), dict(scales=[0]),
])  # fmt: skip
def test_wrong_ranges_are_refused(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))} must be'):
        RandomResizedCrop(**{'scales': [1.0], **options})
