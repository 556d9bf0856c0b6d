"""Statistics of a width are the averages of what its layers see."""

import copy

import pytest
import torch
from mmengine.model.utils import revert_sync_batchnorm
from torch.optim.swa_utils import update_bn

from mmgradaug import extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.recalibration import recalibrate, training_batches
from tests.networks import batch, build, detector_config, randomised
from tests.shapes_run import shapes_config


def detector(norm='BN'):
    cfg = detector_config(mask=False)
    cfg.backbone.norm_cfg = dict(type=norm, requires_grad=True)
    model = revert_sync_batchnorm(build(cfg))
    randomised(model.backbone)
    return model.eval()


@pytest.mark.parametrize(
    ('width', 'norm'), [(0.5, 'BN'), (0.8, 'BN'), (1.0, 'BN'), (0.8, 'SyncBN')]
)
def test_averages_are_torchs_own_on_the_dense_network(width, norm):
    """Of batches equally large; SyncBN is converted for one process, as what is published is."""
    model = detector(norm)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    batches = [batch((1, 1), size=96 + 32 * i, mask=False) for i in range(3)]
    dense = extract_subnet(model.backbone, width)
    recalibrate(model, width, copy.deepcopy(batches))
    update_bn([model.data_preprocessor(data, False)['inputs'] for data in batches], dense)
    for name, expected in dense.state_dict().items():
        found = model.backbone.state_dict()[name]
        old = before[f'backbone.{name}']
        if 'running' in name:
            first = found[: len(expected)]
            torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-6)
            assert not torch.equal(first, old[: len(expected)])
            assert torch.equal(found[len(expected) :], old[len(expected) :])
        elif 'num_batches' not in name:  # which nothing reads
            assert torch.equal(found, old)
    assert not any(module.training for module in model.modules())


def test_batches_weigh_by_their_images():
    model = detector()
    one, three = batch((1,), mask=False), batch((1, 1, 1), mask=False)
    means = []
    for batches in ([one], [three], [one, three]):
        recalibrate(model, 0.5, copy.deepcopy(batches))
        means.append(model.backbone.layer2[0].bn1.running_mean.clone())
    torch.testing.assert_close(means[2], (means[0] + 3 * means[1]) / 4, rtol=1e-5, atol=1e-6)


def test_heads_are_recalibrated_too():
    cfg = detector_config(mask=False)
    head = dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=8, norm_cfg=dict(type='BN'))
    cfg.roi_head.bbox_head.update(head)
    model = build(cfg).eval()
    norm = model.roi_head.bbox_head.shared_convs[0].bn
    assert norm.running_mean.abs().sum() == 0
    recalibrate(model, 0.5, [batch((2, 2), mask=False)])
    assert norm.running_mean.abs().sum() > 0


def test_batches_hold_as_many_images_as_asked_and_the_seed_fixes_them(tmp_path):
    demo = shapes_config(tmp_path, train=8)
    for images in (3, 4, 6, 10):
        batches = list(training_batches(demo, images))
        assert sum(len(b['inputs']) for b in batches) == images
        assert all(len(b['inputs']) == len(b['data_samples']) for b in batches)

    def pixels(seed):
        return torch.stack([x for b in training_batches(demo, 6, seed) for x in b['inputs']])

    assert torch.equal(pixels(1), pixels(1))
    assert not torch.equal(pixels(1), pixels(2))


def test_no_batch_is_an_error():
    with pytest.raises(ConfigError, match='gives no batch'):
        recalibrate(detector(), 0.5, [])
