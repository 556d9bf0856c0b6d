"""The classifier's step is GradAug's: gradients of all passes summed, soft labels, one step."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmgradaug import at_width, extract_subnet
from mmgradaug.errors import ConfigError
from tests.classification.tiny import BACKBONE, batch, build, config
from tests.oracles import assert_equal, statistics
from tests.training.steps import assert_close, gradients, sgd, step_gradients


def by_hand(model, data, soft=1.0, hard=0.0, smoothing=0.0):
    """Gradients of the full network and its sub-networks from torch's functions alone."""
    model = copy.deepcopy(model)
    images = data['inputs'].float() - torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    images = images / torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    labels = data['data_samples']

    def logits(x):
        return model.fc(model.backbone(x)[-1].mean(dim=(2, 3)))

    teacher = logits(images)
    F.cross_entropy(teacher, labels, label_smoothing=smoothing).backward()
    p = teacher.detach().softmax(1)
    for subnet in model.sampler.sample(0, 0):
        size = round(images.size(-1) * subnet.transform.factor)
        small = F.interpolate(images, (size, size), mode='bilinear', align_corners=True)
        with at_width(model, subnet.width):
            student = logits(small)
            divergence = (p * (p.log() - student.log_softmax(1))).sum() / len(p)
            loss = soft * divergence
            loss = loss + hard * F.cross_entropy(student, labels, label_smoothing=smoothing)
            loss.backward()
    return gradients(model)


@pytest.mark.parametrize(('distill', 'weights'), [
    (None, {}),
    ('labels', dict(soft=0.0, hard=1.0)),
    (dict(soft=0.5, hard=2.0), dict(soft=0.5, hard=2.0)),
])  # fmt: skip
def test_a_step_sums_the_gradients_of_all_passes(distill, weights):
    model = build(gradaug=dict(distill=distill, num_subnets=3), label_smoothing=0.1)
    expected = by_hand(model, batch(), smoothing=0.1, **weights)
    log = model.train_step(batch(), sgd(model))
    assert_close(gradients(model), expected, 2e-5)
    kinds = {key.rsplit('_', 1)[1] for key in log if key.startswith('subnet1/loss_cls')}
    assert kinds == {k for k in ('soft', 'hard') if {'soft': 1, 'hard': 0, **weights}[k]}
    assert model._teacher is None


@pytest.mark.parametrize('kind', ['ShakeDrop', 'DropPath'])
def test_sub_networks_are_regularised_with_draws_of_their_own(kind):
    """Each pass draws once, in the order of the passes, however often activations are computed."""
    model = build(backbone=BACKBONE | dict(regulariser=dict(type=kind, survival=0.3)))
    torch.manual_seed(5)
    expected = by_hand(model, batch())
    assert_close(step_gradients(model, batch(), 5), expected, 2e-5)


def test_only_the_full_network_updates_running_statistics():
    model, plain = build(), build('Classifier')
    for each in (model, plain):
        each.train_step(batch(), sgd(each))  # with learning rate 0
    found = statistics(model)
    assert len(found) == 3 * sum(isinstance(m, _BatchNorm) for m in model.modules())
    assert_equal(found, statistics(plain))
    assert found['backbone.bn1.running_mean'].any()


def test_a_student_equal_to_its_teacher_has_nothing_to_learn():
    model = build(gradaug=dict(num_subnets=1, min_width=1.0, transform=None, weights=dict(full=0)))
    log = model.train_step(batch(), sgd(model))
    assert log['subnet1/agree_cls'] == 1
    assert log['subnet1/loss_cls_soft'].abs() < 1e-6
    assert max(gradient.abs().max() for gradient in gradients(model).values()) < 1e-6


def test_the_memory_format_changes_nothing_else():
    models = [build(channels_last=value) for value in (False, True)]
    images = torch.randn(2, 3, 32, 32)
    formats, last = [], dict(memory_format=torch.channels_last)
    conv = models[1].backbone.layer2[0].conv2
    conv.register_forward_hook(lambda m, args, out: formats.append(out.is_contiguous(**last)))
    for width in (1.0, 0.6):
        outs = []
        for model in models:
            with at_width(model, width):
                outs.append(model(images))
        torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
    assert formats == [True, True]  # of the sub-network, too


def test_memory_that_a_layer_reads_wrongly_is_refused():
    dcn = dict(depth=50, dcn=dict(type='DCNv2'), stage_with_dcn=(False, False, False, True))
    build(backbone=BACKBONE | dcn, channels_last=True)  # slimmable
    message = r'channels_last=True with backbone\.layer4\.0\.conv2, a Modulated'
    stock = dict(type='ResNet', **dcn, base_channels=8)
    with pytest.raises(ValueError, match=message):
        build(backbone=stock, channels_last=True, gradaug=dict(min_width=1.0))


def test_predictions():
    model = build().eval()
    elements = model.val_step(batch())
    logits = torch.stack([e.logits for e in elements])
    torch.testing.assert_close(logits, model(model.data_preprocessor(batch())['inputs']))
    torch.testing.assert_close(torch.stack([e.pred_scores for e in elements]), logits.softmax(1))
    assert [int(e.pred_label) for e in elements] == logits.argmax(1).tolist()
    assert [int(e.gt_label) for e in elements] == [0, 1, 2, 0]
    assert 'gt_label' not in model.val_step({'inputs': batch()['inputs']})[0]


def test_batch_norm_trains_unless_it_is_told_not_to():
    for options, trains in (({}, True), (dict(norm_eval=True), False)):
        backbone = build(backbone=BACKBONE | options).backbone
        small = extract_subnet(backbone, 0.5)
        small.train()
        assert backbone.bn1.training == small.bn1.training == trains


@pytest.mark.parametrize('kind', ['Classifier', 'GradAugClassifier'])
def test_a_larger_teacher(kind, tmp_path):
    """T^2 KL beside the labels' loss in the full pass; nothing else knows of it."""
    large = BACKBONE | dict(depth=50)
    teacher = build('Classifier', backbone=large).eval()
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    network = config('Classifier', backbone=large)
    network |= dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'teacher.pth')))
    model = build(kind, teacher=dict(network=network, temperature=4.0, weight=0.5))
    untaught = build(kind)
    untaught.load_state_dict(model.state_dict())
    assert list(model.state_dict()) == list(untaught.state_dict())
    assert copy.deepcopy(model).teacher is model.teacher
    images = model.data_preprocessor(batch())['inputs']
    expected, logits = copy.deepcopy(untaught), untaught(images)
    soft = F.softmax(teacher(images).detach() / 4, 1)
    divergence = F.kl_div(F.log_softmax(logits / 4, 1), soft, reduction='batchmean')
    log, plain = model.train_step(batch(), sgd(model)), expected.train_step(batch(), sgd(expected))
    torch.testing.assert_close(log['loss_teacher'], (8 * divergence).detach())
    (8 * divergence).backward()
    added = gradients(untaught)
    total = {name: grad + added[name] for name, grad in gradients(expected).items()}
    assert_close(gradients(model), total, 2e-5)
    torch.testing.assert_close(log['loss'] - log['loss_teacher'], plain['loss'])
    assert all(p.grad is None for p in model.teacher.network.parameters())
    assert_equal(model.teacher.network.state_dict(), teacher.state_dict())


@pytest.mark.parametrize(('options', 'words'), [
    (dict(gradaug=dict(distill='hrad')), "gradaug.distill must be .*got 'hrad'"),
    (dict(gradaug=dict(distill=dict(soft=0))), 'not all weights 0'),
    (dict(gradaug=dict(distill=dict(temperature=0))), 'temperature > 0'),
    (dict(gradaug=dict(distill=['soft'])), 'gradaug.distill must be'),
    (dict(backbone=dict(type='ResNet', depth=18)), "set backbone type='SlimmableResNet'"),
    (dict(backbone=dict(type='MobileNetV2'), gradaug=dict(min_width=1.0)),
     r'model\.in_channels is needed with MobileNetV2: set it to the channels'),
])  # fmt: skip
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        build(**options)
