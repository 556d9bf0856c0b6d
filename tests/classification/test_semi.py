"""Images without labels: what they teach, what they leave alone, and how batches get them."""

import copy
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.logging import MessageHub
from torchvision import datasets

from mmgradaug import at_width
from mmgradaug.classification import ClassFolders, LabelledAndUnlabelled
from mmgradaug.errors import ConfigError
from tests.classification import test_pretrain
from tests.classification.test_data import FakeCifar
from tests.classification.tiny import batch, build, make_folders
from tests.engine.killing import checkpoint, differences
from tests.launching import logged
from tests.oracles import assert_equal, statistics
from tests.training.steps import assert_close, gradients, step_gradients


def half_labelled():
    """Eight images, the last four without a label, and the first four alone."""
    data = batch(8)
    data['data_samples'][4:] = -1
    return data, {key: value[:4] for key, value in data.items()}


def test_images_without_labels_change_nothing_of_the_full_pass():
    """Not a bit of losses, gradients and running statistics."""
    found = []
    for data, weight in zip(half_labelled(), (1.0, 0.0), strict=True):
        model = build(gradaug=dict(distill=dict(unlabelled=weight)))
        model.sample_subnets()
        losses = model(**model.data_preprocessor(data, True), mode='full')
        model.parse_losses(losses)[0].backward()
        found.append({**losses, **gradients(model), **statistics(model)})
    assert_equal(*found)
    assert found[0]['fc.weight'].any()


def test_the_full_network_teaches_sub_networks_on_images_without_labels():
    """A step is GradAug's on images with labels, plus weighted divergences on the others."""
    data, labelled = half_labelled()
    model, plain = build(gradaug=dict(distill=dict(unlabelled=(0.0, 2.0)))), build()
    expected = step_gradients(plain, labelled)
    others = model.data_preprocessor(data, True)['inputs'][4:]
    teacher = copy.deepcopy(plain).logits(others).detach()
    plain.zero_grad()
    subnet = plain.sampler.sample(0, 0)[1]
    with at_width(plain, subnet.width):
        student = plain.logits(subnet.transform(others)[0])
        (2 * F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction='batchmean')).backward()
    added = gradients(plain)
    found = step_gradients(model, data)
    assert_close(found, {name: expected[name] + added[name] for name in expected}, 2e-5)
    assert_equal(statistics(model), statistics(plain))


def test_an_iteration_without_sub_networks_sees_no_image_without_a_label():
    """It is plain training's on the others; here the second of two is."""
    data, labelled = half_labelled()
    model, plain = build(gradaug=dict(every=2, distill=dict(unlabelled=1.0))), build('Classifier')
    step_gradients(model, data)
    model.zero_grad()
    model.load_state_dict(plain.state_dict())
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    assert_equal(step_gradients(model, data), step_gradients(plain, labelled))
    assert_equal(statistics(model), statistics(plain))
    assert seen == [4]


def test_mean_teacher_compares_two_views_of_all_images():
    data, labelled = half_labelled()
    model = build('MeanTeacherClassifier', consistency=3.0, ramp_up=10)
    teacher = build('Classifier')
    torch.nn.init.normal_(teacher.fc.weight)
    model.mean_teacher = (teacher,)
    assert list(model.state_dict()) == list(teacher.state_dict())
    views = torch.stack([data['inputs'], batch(8, seed=2)['inputs']], dim=1)
    inputs = model.data_preprocessor({**data, 'inputs': views}, True)
    own, other = (model.data_preprocessor({'inputs': view})['inputs'] for view in views.unbind(1))
    assert torch.equal(inputs['inputs'], torch.cat([own, other]))
    hub, found = MessageHub.get_current_instance(), []
    for iteration, model.ramp_up in ((0, 10), (10, 10), (99, 10), (0, 0), (5, 10)):
        hub.update_info('iter', iteration)
        losses = model(**inputs, mode='loss')
        found.append(losses['loss_consistency'].item())
    logits, taught = copy.deepcopy(model).logits(own), copy.deepcopy(teacher).logits(other)
    difference = (logits.softmax(1) - taught.softmax(1)).square().sum() / (8 * 3)
    # The loss on labels is a mean over the images that have one.
    expected = F.cross_entropy(logits[:4], labelled['data_samples'])
    torch.testing.assert_close(losses['loss_cls'], expected)
    sum(losses.values()).backward()
    assert all(p.grad is None for p in teacher.parameters())
    weights = np.exp([-5, 0, 0, 0, -1.25])
    assert found == pytest.approx(3 * weights * difference.item())


def test_labels_are_split_evenly_and_by_seed_alone(tmp_path):
    """Places are written down: they are the same in every process."""
    root, splits = str(make_folders(tmp_path, per_class=6)), []
    for seed in range(5):
        few = dict(labels_per_class=2, subset_seed=seed, unlabelled=True, serialize_data=False)
        dataset = ClassFolders(root, **few)
        labels = [dataset.get_data_info(index)['gt_label'] for index in range(18)]
        splits.append([index for index, label in enumerate(labels) if label >= 0])
        assert [labels[index] for index in splits[-1]] == [0, 0, 1, 1, 2, 2]
    assert splits[:2] == [[2, 3, 10, 11, 14, 15], [0, 4, 8, 9, 13, 17]]
    assert len(set(map(tuple, splits))) == 5

    def drawn(seed, data=dataset):
        sampler = LabelledAndUnlabelled(InfiniteSampler(data, seed=seed), 4, unlabelled=3)
        return list(islice(sampler, 9))

    batches = drawn(0)
    found = [[labels[index] for index in indices] for indices in batches]
    assert all(min(row[:4]) >= 0 and set(row[4:]) == {-1} for row in found)
    assert [sum(row.count(label) for row in found) for label in range(3)] == [12, 12, 12]
    assert len({index for indices in batches[:4] for index in indices[4:]}) == 12  # all of them
    assert drawn(0) == batches != drawn(1)
    with pytest.raises(ConfigError, match=r'got 18 and 0: set .*unlabelled=True'):
        drawn(0, ClassFolders(root, serialize_data=False))
    with pytest.raises(ConfigError, match=r'never ends: .*InfiniteSampler'):
        LabelledAndUnlabelled(DefaultSampler(dataset), 4, unlabelled=3)


def test_wrong_options_are_refused():
    words = {'1 weights.*=2': [1.0], 'numbers >= 0': [-1.0, 0.0], 'no image without a label': 1.0}
    for told, weights in words.items():
        with pytest.raises(ConfigError, match=told):
            step_gradients(build(gradaug=dict(distill=dict(unlabelled=weights))), batch())
    mixing = build(data_preprocessor=dict(type='ImagePreprocessor', mix=dict(type='CutMix')))
    with pytest.raises(ConfigError, match='a batch has images without: remove mix'):
        mixing.data_preprocessor(half_labelled()[0], True)


SMALL = """
    model.backbone.depth=10 model.backbone.widen_factor=0.25 train_dataloader.batch_size=4
    train_dataloader.batch_sampler.unlabelled=6 train_dataloader.dataset.labels_per_class=2
    train_dataloader.dataset.subset_seed=1 train_cfg.max_iters=3 train_cfg.val_interval=2
    param_scheduler.milestones=[2] default_hooks.checkpoint.interval=1
    default_hooks.checkpoint.max_keep_ckpts=-1 default_hooks.logger.interval=1
"""


@pytest.mark.parametrize('method', ['gradaug-semi', 'meanteacher'])
def test_a_run_with_images_without_labels_resumes_bitwise(tmp_path, monkeypatch, method):
    monkeypatch.setattr(datasets, 'CIFAR10', FakeCifar)
    monkeypatch.setattr(FakeCifar, 'calls', [('', True, True)])  # it was downloaded before
    config = f'{test_pretrain.ROOT}/configs/classification/wrn28-2_cifar10_{method}.py'
    options = SMALL.split() + ['model.ramp_up=4'] * (method == 'meanteacher')
    plain = f'num_workers=0 persistent_workers=False dataset.data_root={tmp_path}'
    for option in [*plain.split(), 'dataset.serialize_data=False']:  # which collects garbage
        options += [f'{loader}_dataloader.{option}' for loader in ('train', 'val', 'test')]

    def pretrain(name, *args):
        test_pretrain.pretrain(tmp_path / name, options, *args, config=config)
        paths = sorted((tmp_path / name).glob('iter_*.pth'))
        return [checkpoint(path.parent, path.name) for path in paths]

    saved = pretrain('whole')
    resumed = pretrain('resumed', '--resume', str(tmp_path / 'whole/iter_1.pth'))
    assert (len(saved), len(resumed)) == (3, 2)
    assert differences(saved[-1], resumed[-1]) == []
    if method == 'meanteacher':
        students = [one['ema_state_dict']['module.fc.weight'] for one in saved]
        average = students[0]
        for student in students:
            average = 0.95 * average + 0.05 * student
        torch.testing.assert_close(saved[-1]['state_dict']['fc.weight'], average)
        # Also in the first iteration, where the teacher is another random network.
        assert min(logged(tmp_path / 'whole', 'loss_consistency').values()) > 0
