"""Recording the full pass leaves every object as it was, with what users put on it."""

import functools

from mmgradaug.detection.distillation.recording import recording_calls
from tests.networks import batch, build, detector_config
from tests.training.steps import sgd


class Head:
    """Something with a method to watch."""

    def said(self, left, right=2):
        return left + right


def test_calls_are_reported_by_the_names_of_the_class():
    head, other, seen = Head(), Head(), []
    with recording_calls(head, 'said', lambda call, result: seen.append((call, result))):
        assert 'said' in vars(head)
        assert head.said(1) == 3
        assert head.said(1, right=5) == 6
        assert other.said(1) == 3
    assert head.said(1) == 3
    assert vars(head) == {}
    assert seen == [(dict(self=head, left=1), 3), (dict(self=head, left=1, right=5), 6)]


def test_what_stood_on_the_object_runs_and_is_there_again():
    head, seen = Head(), []

    def own(*args, **kwargs):  # says nothing of its arguments
        return 10 * Head.said(head, *args, **kwargs)

    head.said = own
    for error in (False, True):
        try:
            with recording_calls(head, 'said', lambda call, result: seen.append((call, result))):
                assert head.said(1, 3) == 40
                if error:
                    raise KeyError
        except KeyError:
            pass
        assert vars(head) == {'said': own}
    assert seen == [(dict(self=head, left=1, right=3), 40)] * 2


def counted(owner, method, calls):
    """Put a wrapper of a method on an object alone, as users and hooks do."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def own(*args, **kwargs):
        calls.append(method)
        return original(*args, **kwargs)

    setattr(owner, method, own)


def functions_on(module):
    """What stands on a module itself and can be called; its own submodules are not in there."""
    return {name: id(value) for name, value in vars(module).items() if callable(value)}


def test_a_step_keeps_methods_that_users_put_on_heads():
    """The one that is recorded, and those that every pass runs: full network, two sub-networks."""
    model, calls = build(detector_config(recompute_above=0)), []
    counted(model.roi_head.bbox_head, 'forward', calls)
    counted(model.roi_head.bbox_head, 'loss_and_target', calls)
    counted(model.roi_head.mask_head, 'loss_and_target', calls)
    counted(model.roi_head, '_bbox_forward', calls)
    counted(model.rpn_head, 'forward', calls)
    counted(model.backbone.layer1[0], 'forward', calls)
    before = {name: functions_on(module) for name, module in model.named_modules()}
    log = model.train_step(batch(), sgd(model))
    assert calls.count('forward') == 3 * 3
    assert calls.count('_bbox_forward') == 3
    assert calls.count('loss_and_target') == 2
    assert log['subnet1/loss_roi_cls_soft'] > 0
    assert before == {name: functions_on(module) for name, module in model.named_modules()}
