import torch
import torch.nn.functional as F

from mmgradaug import at_width, extract_subnet
from mmgradaug.visualization.class_activation import class_activation_maps, smooth_activation_maps
from tests.classification.tiny import build

CLASSES = torch.tensor([2, 0])


def test_the_mean_of_a_map_is_the_logit():
    model = build().eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = class_activation_maps(model, images, CLASSES)
        logits = model(images)
    assert maps.shape == (2, 2, 3)
    torch.testing.assert_close(maps.mean((1, 2)), logits[[0, 1], CLASSES])
    assert maps.std((1, 2)).min() > 1e-4


def test_a_sub_networks_map_is_its_dense_twins():
    model = build().eval()
    images = torch.randn(2, 3, 64, 64)
    dense = extract_subnet(model.backbone, 0.6)
    with torch.no_grad():
        features = dense(images)[-1]
        weight = model.fc.weight[CLASSES, : features.size(1)]
        expected = (features * weight[..., None, None]).sum(1) + model.fc.bias[CLASSES, None, None]
        with at_width(model, 0.6):
            found = class_activation_maps(model, images, CLASSES)
    torch.testing.assert_close(found, expected)


def test_shifted_maps_are_put_back_in_place():
    """Of a network that sees single pixels, the average over shifts is the map itself."""
    model = build()
    model.extract_feat = lambda images: images
    model.fc.weight.data = torch.eye(3)
    images = torch.randn(2, 3, 12, 20)
    with torch.no_grad():
        found = smooth_activation_maps(model, images, CLASSES, shifts=2, step=3)
    torch.testing.assert_close(found, images[[0, 1], CLASSES] + model.fc.bias[CLASSES, None, None])

    model.extract_feat = lambda images: F.avg_pool2d(images, 4)
    with torch.no_grad():
        alone = smooth_activation_maps(model, images, CLASSES, shifts=0)
        cells = class_activation_maps(model, images, CLASSES)
    torch.testing.assert_close(alone, F.interpolate(cells[None], (12, 20), mode='bilinear')[0])
