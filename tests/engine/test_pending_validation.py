"""What a killed run had still to validate is validated after a resume."""

import pytest

from tests.engine.toy import assert_same, trained, validation

BEST = dict(save_best='score', rule='greater')
PLATEAU = dict(type='ReduceOnPlateauLR', monitor='score', rule='less', factor=0.1, patience=0)


def best(folder):
    return [path.name for path in folder.glob('best*')]


@pytest.mark.parametrize('epoch', [1, 2])
def test_a_run_that_dies_in_a_validation_catches_up(tmp_path, epoch):
    """Its best checkpoint, and the weights that a scheduler makes depend on the metric."""
    options = dict(checkpoint=BEST, scheduler=PLATEAU)
    whole = trained(tmp_path / 'whole', **options, **validation())
    assert whole.optim_wrapper.get_lr()['lr'][0] < 0.1, 'the scheduler has to matter'
    died = trained(tmp_path / 'died', **options, **validation(stop=epoch))
    assert died.epoch == epoch + 1
    assert best(tmp_path / 'died') == [f'best_score_epoch_{epoch}.pth']
    resumed = trained(tmp_path / 'died', resume=True, **options, **validation())
    assert_same(whole, resumed)
    assert best(tmp_path / 'died') == best(tmp_path / 'whole') == ['best_score_epoch_3.pth']


@pytest.mark.parametrize(('interval', 'then', 'died'), [
    # mmengine changes it between a checkpoint and its validation: due at once, or not at all.
    (10, [(2, 1)], None), (1, [(3, 10)], 7),
    # Validated, and the checkpoint written again after it, with the better score.
    (1, None, 4), (1, None, 5),
])  # fmt: skip
def test_validations_are_due_once_or_not_at_all(tmp_path, interval, then, died):
    loop = dict(by_epoch=True, max_epochs=3, val_interval=interval, dynamic_intervals=then)
    options = dict(checkpoint=BEST, scheduler=PLATEAU, train_cfg=loop)
    whole = trained(tmp_path / 'whole', **options, **validation())
    trained(tmp_path / 'died', stop=died, **options, **validation(stop=None if died else 0))
    assert_same(whole, trained(tmp_path / 'died', resume=True, **options, **validation()))
    assert best(tmp_path / 'died') == best(tmp_path / 'whole')
