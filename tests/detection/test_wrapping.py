"""The class of a GradAug detector: one for each detector, that can be copied, sent and extended."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from mmdet.models.detectors import FasterRCNN, MaskRCNN

from mmgradaug import GradAugDetector
from tests.networks import ROOT, batch, build, detector_config
from tests.oracles import assert_equal
from tests.training.steps import sgd

PREDICT = """
import sys, torch
model, data = torch.load(sys.argv[1], weights_only=False)
instances = [sample.pred_instances.to_dict() for sample in model.test_step(data)]
names = [c.__name__ for c in type(model).__mro__]
torch.save([names, instances], sys.argv[2])
"""


class Halved(GradAugDetector):
    """What a user may write: a share of the sub-networks' losses, and an option of its own."""

    def __init__(self, *args, share=0.5, **kwargs):
        super().__init__(*args, **kwargs)
        self.share = share

    def subnet_loss(self, *args):
        return {k: v * self.share for k, v in super().subnet_loss(*args).items()}


class Own(GradAugDetector, FasterRCNN):
    """A GradAug detector that names its detector as Python does."""


def test_two_builds_are_of_one_class():
    kinds = {mask: type(build(detector_config(mask))) for mask in (True, False)}
    assert type(build(detector_config(num_subnets=0))) is kinds[True]
    assert type(build({**detector_config(), 'detector': MaskRCNN})) is kinds[True]
    assert issubclass(kinds[False], FasterRCNN)
    assert kinds[True] is not kinds[False]


def test_a_model_saved_whole_predicts_the_same_in_another_process(tmp_path):
    """A process that imports mmgradaug only because the file asks for it."""
    model, data = build(detector_config()).eval(), batch((1, 1))
    torch.save((model, data), tmp_path / 'model.pth')
    script = [sys.executable, '-c', PREDICT, tmp_path / 'model.pth', tmp_path / 'found.pth']
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    names, found = torch.load(tmp_path / 'found.pth', weights_only=False)
    assert names == [cls.__name__ for cls in type(model).__mro__]
    expected = [sample.pred_instances for sample in model.test_step(data)]
    assert sum(len(instances) for instances in expected) > 0
    for left, right in zip(found, expected, strict=True):
        assert left.keys() == set(right.keys()) >= {'bboxes', 'scores', 'labels', 'masks'}
        assert all(torch.equal(left[key], right[key]) for key in left)


def sent(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize('again', [copy.deepcopy, sent])
def test_copies_train_alike_and_on_their_own(again):
    model, data = build(detector_config(num_subnets=1)), batch()
    twin = again(model)
    assert type(twin) is type(model)
    assert twin._distillers[0].head is twin.rpn_head is not model.rpn_head
    before, losses = copy.deepcopy(model.state_dict()), []
    for each in (twin, model):
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        torch.manual_seed(0)
        losses.append(each.train_step(copy.deepcopy(data), sgd(each, lr=0.1))['loss'])
    assert torch.equal(*losses)
    assert_equal(model.state_dict(), twin.state_dict())


def test_a_subclass_has_its_own_way():
    config = detector_config(num_subnets=1)
    model, halved = build(config), build({**config, 'type': Halved, 'share': 0.25})
    assert isinstance(halved, Halved)
    assert isinstance(halved, MaskRCNN)
    assert not isinstance(halved, type(model))
    assert type(build({**config, 'type': Halved})) is type(halved)
    assert type(sent(halved)) is type(halved)
    assert sent(halved).share == 0.25
    logs, data = [], batch()
    for each in (model, halved):
        torch.manual_seed(0)
        logs.append(each.train_step(copy.deepcopy(data), sgd(each)))
    assert torch.equal(logs[0]['full/loss'], logs[1]['full/loss'])
    torch.testing.assert_close(logs[1]['subnet1/loss'], 0.25 * logs[0]['subnet1/loss'])


def test_a_subclass_may_be_a_detector_of_its_own():
    config = {**detector_config(mask=False), 'type': Own}
    config.pop('detector')
    assert type(build(config)) is type(sent(build(config))) is Own
    assert type(build({**config, 'detector': 'FasterRCNN'})) is Own
