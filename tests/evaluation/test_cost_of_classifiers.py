"""Classifiers' steps are measured as detectors' are, their FLOPs without computing."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torchvision.models import ResNet

from mmgradaug.evaluation import cost
from mmgradaug.evaluation.conv_shapes import ConvShapes
from mmgradaug.evaluation.cost_kinds import build_kinds, random_batch
from tests.classification.tiny import BACKBONE, build, config
from tools import benchmark


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')


def kinds_of(**options):
    return build_kinds(Config(dict(model=config(**options))))


def test_flops_of_a_step_are_counted_without_computing():
    cfg = Config(dict(model=config(gradaug=dict(seed=3))))
    models = build_kinds(cfg)
    data = random_batch(models['plain'], (40, 32), 2)
    for name, model in models.items():
        runner = cost._ClassifierRunner(model, data, 'cpu')
        state = {k: v.clone() for k, v in model.state_dict().items()}
        counted = runner.train_flops(4)
        assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
        assert counted == cost.count_flops(lambda r=runner: r.step(4)) > 0, name
        inputs = torch.zeros(2, 3, 40, 32)
        with cost._evaluating(model), torch.no_grad():
            assert runner.predict_flops() == cost.count_flops(lambda m=model, x=inputs: m(x))


@pytest.mark.parametrize('channels_last', [False, True])
def test_torchvisions_resnet_is_the_same_network_in_the_same_format(channels_last):
    backbone = dict(type='SlimmableResNet', depth=18, out_indices=(3,))
    kinds = kinds_of(backbone=backbone, channels_last=channels_last)
    theirs = kinds.pop("plain, torchvision's")
    assert isinstance(theirs.network, ResNet)
    data = random_batch(kinds['plain'], (32, 32), 2)
    flops = {
        name: cost._ClassifierRunner(kinds[name], data, 'cpu').train_flops(0)
        for name in ('plain', 'plain, slimmable backbone')
    }
    assert set(flops.values()) == {cost._ClassifierRunner(theirs, data, 'cpu').train_flops(0)}
    for model in (theirs, *kinds.values()):
        conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
        assert conv.weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    batch = theirs.data_preprocessor(data, True)
    theirs.load_state_dict(
        {
            k.replace('backbone.', 'network.').replace('fc.', 'network.fc.'): v
            for k, v in kinds['plain'].state_dict().items()
        }
    )
    losses = [m(**batch, mode='loss')['loss_cls'] for m in (theirs, kinds['plain'])]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_other_networks_have_no_counterpart():
    assert list(kinds_of()) == ['plain', 'plain, slimmable backbone', 'GradAug']  # 8 channels wide


# ------------------------------------------------------------------ shapes of convolutions


def observed(model, size, iterations):
    """Different convolutions by running every pass of every iteration."""
    seen = set()

    def note(module, args, out):
        ins = args[0]
        where = (tuple(ins.shape[-2:]), module.kernel_size, module.stride, module.dilation)
        seen.add((ins.size(1), out.size(1), *where))

    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    images = torch.zeros(2, 3, *size)
    model.backbone(images)
    for iteration in range(iterations):
        for subnet in model.sampler.sample(0, iteration):
            with subnet.active_in(model):
                model.backbone(model.pad_images(subnet.transform(images)[0]))
    return len(seen)


DEPTH = dict(type='SlimmableDepthResNet', depth=20)


@pytest.mark.parametrize('options', [
    dict(),
    dict(gradaug=dict(width_step=0.25), backbone=BACKBONE | dict(width_divisor=4)),
    dict(gradaug=dict(shrink='both', transform=None), backbone=DEPTH),
])  # fmt: skip
def test_shapes_are_those_of_the_convolutions_that_run(options):
    model = build(**options)
    counts = ConvShapes(model, (64, 48)).after(3)
    assert len(counts) == 3
    assert counts == sorted(counts)
    assert counts[-1] == observed(model, (64, 48), 3)


def test_few_widths_and_a_divisor_bound_the_shapes():
    """The fast setting reaches all its shapes and stops; the exact one has more and goes on."""
    fast, exact = (
        ConvShapes(build(backbone=BACKBONE | more, gradaug=dict(min_width=0.5) | step), (64, 64))
        for more, step in ((dict(width_divisor=8), dict(width_step=0.125)), ({}, {}))
    )
    fast_counts, exact_counts = fast.after(100), exact.after(100)
    convs = len(fast.convs)
    assert fast_counts[-1] == fast_counts[59] <= convs * (1 + 5 * 3)  # 5 widths, 3 scales
    assert exact_counts[-1] > exact_counts[59] > 1.5 * fast_counts[-1]


def test_the_tool_prints_ratios_and_shapes(tmp_path, capsys):
    path = tmp_path / 'tiny.py'
    model = config(backbone=dict(type='SlimmableResNet', depth=18, out_indices=(3,)))
    path.write_text(f"default_scope = 'mmdet'\nmodel = {model!r}\n")
    words = '--size 32 32 --batch 2 --rounds 1 --warmup 0 --device cpu --shapes 20'
    benchmark.main([str(path), *words.split()])
    out = capsys.readouterr().out
    assert 'KaimingInit' not in out  # mmengine's list of every weight
    assert 'plain, slimmable backbone: ' in out
    memory = re.search(r"of the time of torchvision's step, ([\d.]+)", out)
    assert memory and 0.8 < float(memory.group(1)) < 1.25
    assert 'subnet2' in out
    assert 'after 10, ' in out and ' after 20 iterations' in out


@pytest.mark.parametrize(('same', 'expected'), [
    (False, [-3, -2, -1, 0, 1]), (True, [1, 0, 1, 0, 1]),
])  # fmt: skip
def test_warm_up_draws_what_is_measured_if_asked(monkeypatch, same, expected):
    seen = []
    monkeypatch.setattr(
        cost._Runner, 'timed_step', lambda self, index, cost: seen.append((index, cost is None))
    )
    monkeypatch.setattr(cost, 'build_kinds', lambda cfg, variants: {'GradAug': build()})
    cfg = Config(dict(model=config()))
    monkeypatch.setattr(cost._ClassifierRunner, 'train_flops', lambda self, index: 1.0)
    monkeypatch.setattr(cost._ClassifierRunner, 'peak_bytes', lambda self, index: 1)
    cost.measure_costs(cfg, (32, 32), 1, rounds=2, warmup=3, device='cpu', same_draws=same)
    assert [index for index, _ in seen] == expected
    assert [warming for _, warming in seen] == [True] * 3 + [False] * 2
