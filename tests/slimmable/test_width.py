import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmgradaug import at_width
from mmgradaug.slimmable import SlimBatchNorm2d, SlimSyncBatchNorm
from tests.networks import batch, build, detector_config, random_images, small_resnet
from tests.oracles import assert_equal, statistics

# None is a full pass, a number a sub-network pass.
PASSES = st.lists(st.one_of(st.none(), st.sampled_from([0.3, 0.5, 0.77, 0.9, 1.0])), max_size=6)


@settings(max_examples=20, deadline=None)
@given(
    passes=PASSES,
    norm_eval=st.booleans(),
    with_cp=st.booleans(),
    frozen=st.sampled_from([-1, 0, 2]),
)
def test_backbone_statistics_are_those_of_full_passes_alone(passes, norm_eval, with_cp, frozen):
    network = small_resnet(18, norm_eval=norm_eval, with_cp=with_cp, frozen_stages=frozen)
    network.train()
    alone = copy.deepcopy(network)
    for index, width in enumerate(passes):
        x = random_images(2, 3, 32, 32, seed=index)
        if width is None:
            for model in (network, alone):
                sum(out.sum() for out in model(x)).backward()
        else:
            with at_width(network, width):
                sum(out.sum() for out in network(x)).backward()
    assert_equal(statistics(network), statistics(alone))


@settings(max_examples=6, deadline=None)
@given(passes=PASSES, norm_eval=st.booleans())
def test_detector_statistics_are_those_of_full_passes_alone(passes, norm_eval):
    config, norm = detector_config(), dict(type='BN')
    config.backbone.norm_eval = norm_eval
    config.neck.norm_cfg = config.roi_head.mask_head.norm_cfg = norm
    with_norm = dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=8, norm_cfg=norm)
    config.roi_head.bbox_head.update(with_norm)
    network = build(config)
    names = [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    for part in ('backbone', 'neck', 'roi_head.bbox_head', 'roi_head.mask_head'):
        assert any(name.startswith(part) for name in names)
    alone = copy.deepcopy(network)
    data = network.data_preprocessor(batch(size=64), True)
    for index, width in enumerate(passes):
        if width is None:
            for model in (network, alone):
                torch.manual_seed(index)
                model(**copy.deepcopy(data), mode='loss')
        else:
            with at_width(network, width):
                network(**copy.deepcopy(data), mode='loss')
    assert_equal(statistics(network), statistics(alone))


def test_contexts_nest_and_restore_after_an_error():
    network = small_resnet(18)

    def fail():
        with at_width(network, 0.75):
            assert network.conv1.width == 0.75
            raise RuntimeError('inside')

    with at_width(network, 0.5):
        with pytest.raises(RuntimeError, match='inside'):
            fail()
        assert network.conv1.width == 0.5
        assert not network.bn1.track_running_stats
    assert network.conv1.width is None
    assert network.bn1.track_running_stats


@pytest.mark.parametrize('norm', ['BN', 'SyncBN'])
@pytest.mark.parametrize(
    'convert', [revert_sync_batchnorm, nn.SyncBatchNorm.convert_sync_batchnorm]
)
def test_conversions_of_batchnorm_leave_it_slimmable(norm, convert):
    network = small_resnet(18, norm_cfg=dict(type=norm))
    expected = copy.deepcopy(network)
    network = convert(network).eval()  # as a runner does it
    assert list(network.state_dict()) == list(expected.state_dict())
    x = random_images(2, 3, 32, 32)
    with at_width(network, 0.5), at_width(expected.eval(), 0.5):
        for left, right in zip(network(x), expected(x), strict=True):
            torch.testing.assert_close(left, right)
    network.own = nn.Sequential(
        nn.BatchNorm1d(2), type('Active', (nn.BatchNorm2d,), dict(forward=None))(2)
    )
    with at_width(network, 0.5):
        pass
    assert not any(isinstance(norm, (SlimBatchNorm2d, SlimSyncBatchNorm)) for norm in network.own)
    del network.own
    kind = SlimBatchNorm2d if convert is revert_sync_batchnorm else SlimSyncBatchNorm
    assert {type(m) for m in network.modules() if isinstance(m, _BatchNorm)} == {kind}
