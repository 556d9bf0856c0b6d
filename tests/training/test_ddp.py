"""Several processes: one reduction a step, gradients as of one process, no dead ends.

Plain training steps along the mean over processes of each one's own gradient; GradAug of each one's
own sum over its passes. One process computes exactly that by accumulating the shards as batches of
one step. Losses that a head normalises by a mean over processes get that mean.
"""

import mmdet.models.dense_heads.fcos_head as fcos_head
import pytest
import torch
from torch import nn

from mmgradaug.training.ddp import widen_empty_inputs
from tests.classification import tiny
from tests.networks import build, detector_config
from tests.training import ddp_checks as checks
from tests.training.ddp_checks import class_step, fcos_config, step
from tests.training.steps import assert_close, frozen_norms, gradients, sgd

WORLD = 3
CHECKS = [checks.trains, checks.reduces, checks.accumulates, checks.mixed_precision,
          checks.classifiers_train, checks.every_second_is_plain, checks.sends,
          checks.broadcasts, checks.empty, checks.not_finite, checks.wrong_wrappers,
          checks.anomalies, checks.sync_norms]  # fmt: skip


@pytest.fixture(scope='module')
def group(tmp_path_factory):
    """What a check returned, a list over processes: ``group('trains')``."""
    results = checks.run_group(WORLD, CHECKS, tmp_path_factory.mktemp('group'))

    def found(check):
        failed = [text for r in results for text in r.values() if isinstance(text, str)]
        assert not any(isinstance(r.get(check, ''), str) for r in results), '\n'.join(failed)
        return [result[check] for result in results]

    return found


def same(values):
    return all(value == values[0] for value in values)


def of_one_process(model, batches=1, take=step):
    """Gradients of one process that sees all shards, each a batch of its own."""
    wrapper = sgd(model)  # whose gradients add up until they are cleared, which it does not
    for index in range(batches):
        for rank in range(WORLD):
            model.gradaug_iteration = index - 1
            take(model, rank, wrapper, index)
    return {name: total / (WORLD * batches) for name, total in gradients(model).items()}


def test_after_several_steps_all_processes_are_bitwise_equal(group):
    found = group('trains')
    for key in ('weights', 'average'):
        assert same([result[key] for result in found])
    assert found[0]['moved'] == 1
    # Statistics and logged values are each process's own, as in plain training.
    assert len({result['statistics'] for result in found}) == WORLD
    assert len({result['losses'][0] for result in found}) == WORLD


def test_draws_are_the_first_processs_even_with_different_seeds(group):
    found = [result['draws'] for result in group('trains')]
    assert same(found)
    sampler = build(detector_config()).sampler
    for index, draw in enumerate(found[0]):
        subnets = sampler.sample(5, index)
        assert draw == [v for s in subnets for v in (s.width, s.transform.factor)]


def test_gradients_are_those_of_one_process_that_sees_all_shards(group):
    """However torch's wrapper is configured."""
    found = group('reduces')
    expected = of_one_process(build(frozen_norms()))
    for result in found:
        for option in ('default', 'unused', 'views', 'buffers'):
            assert_close(result[option], expected, 1e-6)
            assert all(torch.equal(g, found[0][option][k]) for k, g in result[option].items())


def test_gradients_of_losses_that_are_normalised_over_processes(group, monkeypatch):
    """One process divides by the mean over shards, where processes agree on it by sending."""
    calls = []
    monkeypatch.setattr(fcos_head, 'reduce_mean', lambda x: calls.append(x.clone()) or x)
    of_one_process(build(fcos_config()))
    shards = torch.stack(calls).view(WORLD, 6)  # of two normalisers in each of three passes
    assert (shards != shards[0]).any()
    replayed = iter(shards.mean(dim=0).repeat(WORLD))
    monkeypatch.setattr(fcos_head, 'reduce_mean', lambda tensor: next(replayed))
    expected = of_one_process(build(fcos_config()))
    for result in group('reduces'):
        assert_close(result['fcos'], expected, 3e-6)  # 1.1e-6 on AVX2, less on AVX-512


def test_an_iteration_without_sub_networks_is_reduced_like_a_plain_one(group):
    options = (checks.EVERY_SECOND, dict(num_subnets=0))
    models = [tiny.build(gradaug=own) for own in options]
    expected = [of_one_process(model, take=class_step) for model in models]
    for found in group('every_second_is_plain'):
        assert [result['passes'] for result in found] == [3, 1]
        assert (
            found[0]['bytes'] == found[1]['bytes'] == sum(p.nbytes for p in models[0].parameters())
        )
        for result, gradient in zip(found, expected, strict=True):
            assert_close(result['gradients'], gradient, 1e-5)


def test_accumulation_sends_once_and_is_the_mean_of_all_batches(group):
    expected = of_one_process(build(frozen_norms()), batches=2)
    trained = sum(p.nbytes for p in build(frozen_norms()).parameters() if p.requires_grad)
    for result in group('accumulates'):
        assert result['bytes'] == [0, trained]
        assert_close(result['gradients'], expected, 1e-6)


def test_mixed_precision(group):
    found = group('mixed_precision')
    assert same([result['weights'] for result in found])
    for result, exact in zip(found, group('trains'), strict=True):  # of the same weights and shard
        assert result['loss'] == pytest.approx(exact['losses'][0], rel=0.02)
        assert result['loss'] != exact['losses'][0]


@pytest.mark.parametrize('name', checks.CLASSIFIERS)
def test_classifiers(group, name):
    """Blocks that a process left out have zero gradients; the mean over processes is exact."""
    expected = of_one_process(tiny.build(**checks.CLASSIFIERS[name]), take=class_step)
    found = [result[name] for result in group('classifiers_train')]
    for result in found:
        assert_close(result['gradients'], expected, 1e-6)
    assert same([result['weights'] for result in found])


def test_a_step_sends_as_many_bytes_as_a_plain_step(group):
    for found in group('sends'):
        for subnets in (0, 3):
            assert found[str(subnets)]['bytes'] == found['parameters']
            # Besides: whether each pass's loss is finite, one 32-bit number a pass.
            finite = [4 * (subnets + 1)] if subnets else []
            assert found[str(subnets)]['calls'] == [found['parameters'], *finite]


def test_statistics_are_sent_once_a_step_if_asked_for(group):
    found = group('broadcasts')
    assert same([result['weights'] for result in found])
    assert same([result['starts'] for result in found])
    assert len(found[0]['starts']) == len(set(found[0]['starts'])) == 2


def test_batches_without_objects_on_some_processes(group):
    found = group('empty')
    assert same(found)
    assert len(set(found[0])) == 4  # every step changed the weights


def test_an_infinite_loss_on_one_process_stops_all_and_changes_nothing(group):
    found = group('not_finite')
    *others, last = (result['message'] for result in found)
    for message in others:
        assert 'the loss of a pass is not finite on another process' in message
    assert 'the loss of pass 1 (a sub-network of width 0.5' in last
    assert all(result['unchanged'] for result in found)
    assert same([result['weights'] for result in found])


def test_wrappers_that_would_drop_sub_networks_are_refused(group):
    for found in group('wrong_wrappers'):
        errors = found['errors']
        assert errors.keys() == {'plain', 'separate', 'none', 'mmcv'}
        assert 'would train without sub-networks' in errors['plain']
        for name in ('plain', 'separate', 'none'):
            assert "model_wrapper_cfg=dict(type='GradAugDistributedDataParallel')" in errors[name]
        assert "backbone.bn1 is mmcv's" in errors['mmcv']
        assert "sync_bn='torch'" in errors['mmcv']
        assert found['plain'] > 0  # which is not refused where there is nothing to drop


def test_parameters_without_a_gradient_are_reported_in_every_pass(group):
    for complete, forgotten in group('anomalies'):
        assert complete == []
        assert len(forgotten) == 3
        assert all('neck.forgotten' in text for text in forgotten)


@pytest.mark.parametrize('kind', ['converted', 'configured'])
def test_synchronised_norms_train_as_one_process_with_all_images(group, kind):
    """Running statistics too. torch's kernel is replaced by one for the CPU; all else is real."""
    expected = checks.train_in_double(checks.double_classifier(), range(WORLD))
    assert expected['kinds'] == ['SlimBatchNorm2d']
    for result in group('sync_norms'):
        assert result[kind]['kinds'] == ['SlimSyncBatchNorm']
        state = {k.removeprefix('module.'): v for k, v in result[kind]['state'].items()}
        torch.testing.assert_close(state, expected['state'], rtol=1e-9, atol=1e-9)


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
