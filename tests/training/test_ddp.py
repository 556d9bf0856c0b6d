"""Several processes: one reduction a step, gradients as of one process, no dead ends.

The reference is exact. Plain training on several processes steps along the mean over processes
of each one's own gradient, so GradAug does: of each one's own sum over its passes. One process
computes the same by accumulating the shards as batches of one step, with the draws of one
iteration. Losses that a head normalises by a mean over processes get that mean.
"""

import mmdet.models.dense_heads.fcos_head as fcos_head
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import convert_sync_batchnorm
from torch import nn

from mmgradaug import GradAugDistributedDataParallel
from mmgradaug.training.ddp import require_usable_norms, widen_empty_inputs
from tests.classification import tiny
from tests.networks import build, detector_config
from tests.processes import run_group
from tests.training import ddp_checks as checks
from tests.training.ddp_checks import depth_step, fcos_config, random_depth, step
from tests.training.steps import assert_close, frozen_norms, gradients, sgd
from tests.training.sync_norm_checks import Classifier, sync_norms, train_classifier

IN_THREES = [checks.trains, checks.reduces, checks.empty, checks.not_finite]
IN_PAIRS = [*IN_THREES, checks.reduces_otherwise, checks.fcos_reduces, checks.accumulates,
            checks.sends, checks.broadcasts, checks.wrong_wrappers, checks.anomalies,
            checks.mixed_precision, checks.classifier_trains,
            checks.random_depth_trains, sync_norms]  # fmt: skip


class Group:
    """What the processes of a group found."""

    def __init__(self, world, results):
        self.world, self.results = world, results

    def __getitem__(self, check):
        """What a check returned, a list over processes."""
        failed = [text for r in self.results for text in r.values() if isinstance(text, str)]
        assert not any(isinstance(r.get(check, ''), str) for r in self.results), '\n'.join(failed)
        return [result[check] for result in self.results]


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pair')
    return Group(2, run_group(2, IN_PAIRS, folder))


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp('three')
    return Group(3, run_group(3, IN_THREES, folder))


@pytest.fixture(params=['pair', 'three'])
def group(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def _alone():
    """No message hub of an earlier runner, and as many threads as the processes have."""
    MessageHub.get_instance(f'test_{id(object())}').runtime_info.clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same(values):
    return all(value == values[0] for value in values)


def of_one_process(model, shards, batches=1):
    """Gradients of one process that sees all shards, each a batch of its own."""
    wrapper = sgd(model)  # whose gradients add up until they are cleared, which it does not
    for index in range(batches):
        for rank in range(shards):
            model.gradaug_iteration = index - 1
            step(model, rank, wrapper, index)
    return {name: total / (shards * batches) for name, total in gradients(model).items()}


# ------------------------------------------------------------------ the step


def test_after_several_steps_all_processes_are_bitwise_equal(group):
    found = group['trains']
    for key in ('weights', 'average'):
        assert same([result[key] for result in found])
    assert found[0]['moved'] == 1
    # Statistics and logged values are each process's own, as in plain training.
    assert len({result['statistics'] for result in found}) == group.world
    assert len({result['losses'][0] for result in found}) == group.world


def test_draws_are_the_first_processs_even_with_different_seeds(group):
    found = [result['draws'] for result in group['trains']]
    assert same(found)
    sampler = build(detector_config()).sampler
    for index, draw in enumerate(found[0]):
        subnets = sampler.sample(5, index)
        assert draw == [v for s in subnets for v in (s.width, s.transform.factor)]


def test_gradients_are_those_of_one_process_that_sees_all_shards(group):
    found = group['reduces']
    expected = of_one_process(build(frozen_norms()), group.world)
    for result in found:
        assert_close(result, expected, 1e-6)
        assert all(torch.equal(g, found[0][k]) for k, g in result.items())


@pytest.mark.parametrize('option', ['unused', 'views', 'buffers'])
def test_gradients_do_not_depend_on_how_torchs_wrapper_is_configured(pair, option):
    for result, default in zip(pair['reduces_otherwise'], pair['reduces'], strict=True):
        assert_close(result[option], default, 1e-6)


def test_gradients_of_losses_that_are_normalised_over_processes(pair, monkeypatch):
    """One process divides by the mean over shards, where processes agree on it by sending."""
    means, calls = [], []

    def noted(tensor):
        calls.append(tensor.clone())
        return tensor

    monkeypatch.setattr(fcos_head, 'reduce_mean', noted)
    of_one_process(build(fcos_config()), 2)
    half = len(calls) // 2
    means = [(a + b) / 2 for a, b in zip(calls[:half], calls[half:], strict=True)]
    assert half == 6  # of two normalisers in each of three passes
    assert any(a != b for a, b in zip(calls[:half], calls[half:], strict=True))
    replayed = iter(means * 2)
    monkeypatch.setattr(fcos_head, 'reduce_mean', lambda tensor: next(replayed))
    expected = of_one_process(build(fcos_config()), 2)
    for result in pair['fcos_reduces']:
        assert_close(result, expected, 1e-6)


def test_accumulation_sends_once_and_is_the_mean_of_all_batches(pair):
    expected = of_one_process(build(frozen_norms()), 2, batches=2)
    trained = sum(p.nbytes for p in build(frozen_norms()).parameters() if p.requires_grad)
    for result in pair['accumulates']:
        assert result['bytes'] == [0, trained]
        assert_close(result['gradients'], expected, 1e-6)


def test_mixed_precision(pair):
    found = pair['mixed_precision']
    assert same([result['weights'] for result in found])
    for result, exact in zip(found, pair['trains'], strict=True):  # of the same weights and shard
        assert result['losses'][0] == pytest.approx(exact['losses'][0], rel=0.02)
        assert result['losses'][0] != exact['losses'][0]


def test_classifiers(pair):
    """Gradients are those of one process that sees both shards; every image counts once."""
    model = tiny.build()
    wrapper = sgd(model)
    for rank in range(2):
        model.gradaug_iteration = -1
        model.train_step(tiny.batch(seed=rank), wrapper)
    expected = {name: total / 2 for name, total in gradients(model).items()}
    for result in pair['classifier_trains']:
        assert_close(result['gradients'], expected, 1e-6)
        assert result['accuracy'] == {'accuracy/top1': 40.0}


@pytest.mark.parametrize('name', ['full', 'subnets'])
def test_random_depth(pair, name):
    """Blocks that a process left out have zero gradients; the mean over processes is exact."""
    model = random_depth(name)
    wrapper = sgd(model)
    for rank in range(2):
        model.gradaug_iteration = -1
        depth_step(model, rank, wrapper)
    expected = {key: total / 2 for key, total in gradients(model).items()}
    found = [result[name] for result in pair['random_depth_trains']]
    for result in found:
        assert_close(result['gradients'], expected, 1e-6)
    assert same([result['weights'] for result in found])


# ------------------------------------------------------------------ what is sent


def test_a_step_sends_as_many_bytes_as_a_plain_step(pair):
    for found in pair['sends']:
        assert found['stock'] == found['parameters']
        for subnets in (0, 3):
            assert found[str(subnets)]['bytes'] == found['stock']
            # Besides: whether each pass's loss is finite, one 32-bit number a pass.
            finite = [['all_reduce', 4 * (subnets + 1)]] if subnets else []
            assert found[str(subnets)]['calls'] == [['all_reduce', found['stock']], *finite]


def test_statistics_are_sent_once_a_step_if_asked_for(pair):
    found = pair['broadcasts']
    assert same([result['weights'] for result in found])
    assert same([result['starts'] for result in found])
    assert len(found[0]['starts']) == len(set(found[0]['starts'])) == 2


# ------------------------------------------------------------------ what may go wrong


def test_batches_without_objects_on_some_processes(group):
    found = group['empty']
    assert same(found)
    assert len(set(found[0])) == 4  # every step changed the weights


def test_an_infinite_loss_on_one_process_stops_all_and_changes_nothing(group):
    found = group['not_finite']
    *others, last = (result['errors'] for result in found)
    for errors in others:
        assert len(errors) == 1
        assert 'the loss of a pass is not finite on another process' in errors[0]
    assert 'the loss of pass 1 (a sub-network of width 0.5' in last[0]
    assert all(result['unchanged'] for result in found)
    assert same([result['weights'] for result in found])


def test_wrappers_that_would_drop_sub_networks_are_refused(pair):
    for found in pair['wrong_wrappers']:
        errors = found['errors']
        assert errors.keys() == {'plain', 'separate', 'none', 'static', 'mmcv'}
        assert 'would train without sub-networks' in errors['plain']
        for name in ('plain', 'separate', 'none'):
            assert "model_wrapper_cfg=dict(type='GradAugDistributedDataParallel')" in errors[name]
        assert 'static_graph=True does not work' in errors['static']
        assert "backbone.bn1 is mmcv's" in errors['mmcv']
        assert "sync_bn='torch'" in errors['mmcv']
        assert found['plain'] > 0  # which is not refused where there is nothing to drop


def test_parameters_without_a_gradient_are_reported_in_every_pass(pair):
    for complete, forgotten in pair['anomalies']:
        assert complete == []
        assert len(forgotten) == 3
        assert all('neck.forgotten' in text for text in forgotten)


# ------------------------------------------------------------------ synchronised BatchNorm


@pytest.mark.parametrize('kind', ['converted', 'configured'])
def test_synchronised_norms_train_as_one_process_with_all_images(pair, kind):
    """Running statistics too. torch's kernel is replaced by one for the CPU; all else is real."""
    expected = train_classifier(Classifier(), [0, 1])
    assert expected['kinds'] == ['SlimBatchNorm2d']
    for result in pair['sync_norms']:
        assert result[kind]['kinds'] == ['SlimSyncBatchNorm']
        assert set(result[kind]['hooks']) == {1}  # of widen_empty_inputs
        state = {k.removeprefix('module.'): v for k, v in result[kind]['state'].items()}
        assert state.keys() == expected['state'].keys()
        for name, value in expected['state'].items():
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-9)


def test_norms_are_slimmable_after_they_are_reverted(pair):
    for result in pair['sync_norms']:
        assert result['reverted'] == ['SlimBatchNorm2d']
        assert result['narrow'].shape == (2, 3)
        assert result['narrow'].isfinite().all()


def test_empty_batches_of_synchronised_norms_are_as_precise_as_others_statistics(monkeypatch):
    """In float16 a process without RoIs would send half as many bytes as the others."""
    seen = []
    monkeypatch.setattr(nn.SyncBatchNorm, 'forward', lambda layer, x: seen.append(x.dtype) or x)
    model = nn.Sequential(nn.SyncBatchNorm(4))
    widen_empty_inputs(model)
    empty = torch.zeros(0, 4, 2, 2, dtype=torch.float16, requires_grad=True)
    model(empty).sum().backward()
    model(torch.zeros(1, 4, 2, 2, dtype=torch.float16))
    assert seen == [torch.float32, torch.float16]
    assert (empty.grad.shape, empty.grad.dtype) == (empty.shape, torch.float16)


def test_synchronised_norms_are_refused_on_the_cpu():
    model = build(detector_config())
    require_usable_norms(model, on_cpu=True)
    torchs = convert_sync_batchnorm(model, 'torch')
    require_usable_norms(torchs, on_cpu=False)
    with pytest.raises(ValueError, match=r'backbone\.bn1 is a SyncBatchNorm.*remove sync_bn'):
        GradAugDistributedDataParallel(torchs)
