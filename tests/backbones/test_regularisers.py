"""Regularisers of residual networks: their laws, sub-networks, and nothing when they are off."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torchvision.ops import StochasticDepth, drop_block2d

from mmgradaug import SlimmableResNet, at_width
from mmgradaug.backbones.regularisers import DropBlock, DropPath, ShakeDrop, branch_regularisers
from mmgradaug.errors import ConfigError
from mmgradaug.slimmable import linear_survival
from mmgradaug.training.recompute import recomputing
from tests.backbones.small import small
from tests.networks import random_images, small_resnet
from tests.oracles import assert_equal, assert_slice_equals_dense, run

SHAKE = dict(type='ShakeDrop', survival=0.4)
DEPTH = dict(type='StochasticDepth', survival=0.4)
PATH = dict(type='DropPath', survival=0.5)
BLOCK = dict(type='DropBlock', drop=(0, 0.1, 0.2, 0.3), block_size=3)
NETWORKS = {
    'resnet18': lambda **kw: small_resnet(18, **kw),
    'resnet50': lambda **kw: small_resnet(50, base_channels=4, **kw),
    'wide': lambda **kw: small('wide', **kw),
    'pyramid': lambda **kw: small('pyramid', **kw),
}
PAIRS = [
    *((name, SHAKE) for name in NETWORKS),
    *((name, cfg) for name in ('resnet18', 'resnet50') for cfg in (DEPTH, PATH, BLOCK)),
    ('wide', DEPTH),
    ('pyramid', PATH),
]
IDS = [f'{name}-{cfg["type"]}' for name, cfg in PAIRS]


def images(name):
    size = 64 if name.startswith('resnet') else 8
    return random_images(3, 3, size, size, dtype=torch.float64)


@pytest.mark.parametrize(('name', 'cfg'), PAIRS, ids=IDS)
def test_sub_networks_draw_as_dense_networks_do(name, cfg):
    network = NETWORKS[name](regulariser=cfg).double()
    assert_slice_equals_dense(network, 0.6, images(name))


@pytest.mark.parametrize(('name', 'cfg'), PAIRS, ids=IDS)
def test_off_is_the_network_without_bitwise(name, cfg):
    """The same keys, and outputs and gradients where no noise acts."""
    plain = NETWORKS[name]()
    silent = {k: 1.0 for k in cfg if k == 'survival'} | {k: [0] * 4 for k in cfg if k == 'drop'}
    off, on = (NETWORKS[name](regulariser=c) for c in (cfg | silent, cfg))
    assert list(on.state_dict()) == list(off.state_dict()) == list(plain.state_dict())
    x = images(name).float()
    (outs, gradients), (expected, expected_gradients) = run(off, x), run(plain, x)
    assert all(torch.equal(*pair) for pair in zip(outs, expected, strict=True))
    assert_equal(gradients, expected_gradients)
    # All branches survive now and then, and ShakeDrop then changes nothing.
    assert any(not torch.equal(on(x)[-1], expected[-1]) for _ in range(50))
    if cfg is not SHAKE:
        silent = copy.deepcopy(on).eval()
        on.train(), plain.load_state_dict(on.state_dict())
        assert torch.equal(silent(x)[-1], plain.eval()(x)[-1])


def test_passes_draw_noise_of_their_own_and_recomputation_repeats_it():
    network, x = NETWORKS['resnet18'](regulariser=BLOCK), images('resnet18').float()
    with at_width(network, 0.6):
        assert not torch.equal(network(x)[-1], network(x)[-1])
    _, expected = run(network, x, 0.6)
    with recomputing(network):
        _, found = run(network, x, 0.6)
    assert_equal(found, expected)


def test_dropblock_keeps_the_mean_in_half_precision():
    images = torch.ones(4, 64, 28, 28, dtype=torch.half)
    assert abs(DropBlock(0.1).train()(images).float().mean() - 1) < 0.01


def test_shakedrop_weighs_forward_and_backward_passes():
    """(b + a - ba) forward and (b + c - bc) backward, and the first one's mean in evaluation."""
    shake = ShakeDrop(0.3, alpha=(-1, 0.5), beta=(0, 1))
    seen, kept = [], 0
    for seed in range(300):
        torch.manual_seed(seed)
        x = torch.ones(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        out = shake(x)
        out.sum().backward()
        for each in (out, x.grad):
            assert torch.equal(each, each[:, :1, :1, :1].expand_as(each))  # one weight an image
        kept += bool(torch.equal(out, x))
        torch.manual_seed(seed)
        if torch.rand(()) < 0.3:
            assert out.eq(1).all() and x.grad.eq(1).all()
        else:
            assert not out.eq(x.grad).any()
            seen.append(torch.stack([out[:, 0, 0, 0], x.grad[:, 0, 0, 0]], 1))
    forward, backward = torch.cat(seen).detach().unbind(1)
    assert abs(kept / 300 - 0.3) < 4 * (0.21 / 300) ** 0.5
    for values, low, high in ((forward, -1, 0.5), (backward, 0, 1)):
        assert low <= values.min() < low + 0.02 and high - 0.02 < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.06)
    assert torch.corrcoef(torch.stack([forward, backward]))[0, 1].abs() < 0.1
    expected = 0.3 + 0.7 * -0.25
    torch.testing.assert_close(shake.eval()(x), expected * x)


def test_laws_of_the_blocks():
    stages = (3, 4, 6, 3)
    shakes = branch_regularisers(SHAKE, stages)
    assert [shake.survival for shake in shakes] == linear_survival(16, 0.4)
    assert (shakes[0].alpha, shakes[0].beta) == ((-1.0, 1.0), (0.0, 1.0))
    depths = branch_regularisers(DEPTH, stages)
    assert [d.p for d in depths] == [pytest.approx(0.6 * i / 16) for i in range(1, 17)]
    assert {d.mode for d in depths} == {'batch'}
    paths = branch_regularisers(PATH, stages)
    assert [(d.p, d.mode, d.ramp) for d in paths] == 16 * [(0.5, 'row', False)]
    paths = branch_regularisers(PATH | dict(survival=(1, 1, 0.75, 0.5), ramp=True), stages)
    assert [(d.p, d.ramp) for d in paths] == [
        *(7 * [(0, True)]), *(6 * [(0.25, True)]), *(3 * [(0.5, True)])
    ]  # fmt: skip
    network = NETWORKS['resnet50'](regulariser=DEPTH)
    found = [m.p for m in network.modules() if isinstance(m, StochasticDepth)]
    assert found == [d.p for d in depths]


def test_dropblock_acts_on_every_convolution_and_shortcut_of_its_stages():
    network = NETWORKS['resnet50'](regulariser=BLOCK | dict(drop=(0, 0, 0.025, 0.1)))
    for stage, (blocks, drop) in enumerate([(3, 0), (4, 0), (6, 0.025), (3, 0.1)], start=1):
        modules = getattr(network, f'layer{stage}').modules()
        found = [m.p for m in modules if isinstance(m, DropBlock)]
        assert found == [drop] * (4 * blocks if drop else 0)
    plain = NETWORKS['resnet50']().layer4[1]
    regular = network.layer4[1].train()
    x = random_images(2, 16 * 8, 9, 9)

    def dropped(y):
        return drop_block2d(y, 0.1, 3)

    torch.manual_seed(0)
    found = regular(x)
    torch.manual_seed(0)
    out = dropped(plain.bn1(plain.conv1(x))).relu()
    out = dropped(plain.bn2(plain.conv2(out))).relu()
    out = dropped(plain.bn3(plain.conv3(out)))
    torch.testing.assert_close(found, (out + dropped(x)).relu())


def test_dropblock_runs_on_every_size_and_shares_rise_over_a_run():
    drop, hub = DropBlock(0.5, 7, ramp=True), MessageHub.get_current_instance()
    path = DropPath(0.5, ramp=True)
    for size in (1, 2, 4, 6, 7, 14):  # of ResNet-50's last stages at the paper's scales
        assert drop(torch.ones(2, 3, size, size)).shape == (2, 3, size, size)
    shares, left_out = [], []
    for iteration in (0, 500, 1000):
        hub.runtime_info.update(iter=iteration, max_iters=1000)
        torch.manual_seed(0)
        shares.append(drop(torch.ones(8, 64, 28, 28)).eq(0).double().mean().item())
        kept = path(torch.ones(4000, 1, 1, 1))
        left_out.append(kept.eq(0).double().mean().item())
        assert kept.mean().item() == pytest.approx(1, abs=0.08)  # scaled up
    # Blocks overlap: with gamma as its authors have it, a share p of blocks covers less.
    assert shares[0] == 0 and 0.15 < shares[1] < 0.25 and 0.3 < shares[2] < 0.5
    assert left_out == [0, pytest.approx(0.25, abs=0.03), pytest.approx(0.5, abs=0.03)]
    assert DropBlock(0.5, 7).eval()(torch.ones(1, 1, 8, 8)).eq(1).all()


def test_residual_branches_start_at_zero_where_asked():
    network = SlimmableResNet(50, base_channels=4, zero_init_residual=True, regulariser=SHAKE)
    network.init_weights()
    weights = {k: v for k, v in network.state_dict().items() if 'layer' in k and 'bn' in k}
    for key, value in weights.items():
        if key.endswith('.weight'):
            assert value.eq(0 if 'bn3' in key else 1).all(), key


@pytest.mark.parametrize(
    ('kind', 'cfg'), [('WideResNet', 'DropBlock'), ('SlimmableResNet', 'Dropblock')]
)
def test_unknown_regularisers_are_named(kind, cfg):
    options = dict(depth=18) if kind == 'SlimmableResNet' else {}
    with pytest.raises(ConfigError, match='expected a type of'), torch.device('meta'):
        MODELS.build(dict(type=kind, regulariser=dict(type=cfg), **options))
