"""A training's log is read from all its starts, also while it is written, or resumed."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmgradaug.engine.train import build_runner
from mmgradaug.errors import ConfigError
from mmgradaug.reporting.charts import section_panels
from mmgradaug.reporting.run import read_run, read_runs
from tests.networks import detector_config
from tests.reporting.work_dirs import train_entry, val_entry, whole_log, write_run, write_start
from tests.shapes_run import shapes_config

FIRST, SECOND = '20261122_050000', '20261122_060000'


def steps(entries):
    return [entry['step'] for entry in entries]


def killed(folder):
    """A start that died after 7 iterations and the validation of the first epoch."""
    write_start(folder, FIRST, whole_log()[:8])


def test_a_resumed_run_is_one(tmp_path):
    """What was logged beyond the checkpoint was done again: its new values count, once."""
    killed(tmp_path)
    again = [{**train_entry(step), 'loss': 100.0 + step} for step in range(5, 9)]
    write_start(tmp_path, SECOND, [*again, val_entry(2, 0.9)])
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == list(range(1, 9))
    assert [e['loss'] for e in run.scalars.train] == [12, 6, 4, 3, 105, 106, 107, 108]
    assert run.metrics()['coco/bbox_mAP'] == ([1, 2], [0.54, 0.9])
    assert run.notes == [f'{SECOND} resumed; log entries dropped after iteration 4: 3']
    assert run.progress() == 'epoch 2 of 2, iteration 8'
    (tmp_path / 'last_checkpoint').write_text('/there/epoch_2.pth')
    assert run.progress() == 'finished: epoch 2 of 2'


def test_a_validation_that_was_due_counts_once(tmp_path):
    """PendingValidationHook validates before the resumed run's first iteration."""
    killed(tmp_path)
    write_start(tmp_path, SECOND, [val_entry(1, 0.7), train_entry(5)])
    run = read_run(tmp_path)
    assert run.metrics()['coco/bbox_mAP'] == ([1], [0.7])
    assert run.progress() == 'epoch 2 of 2, iteration 5'


def test_a_run_started_anew_is_alone(tmp_path):
    killed(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('epoch_2.pth')  # of the run before
    write_start(tmp_path, SECOND, [train_entry(1), train_entry(3)])
    run = read_run(tmp_path)
    assert (steps(run.scalars.train), run.scalars.val) == ([1, 3], [])
    assert run.notes == [f'{SECOND} began anew; log entries dropped after iteration 0: 7']
    assert run.progress() == 'epoch 1 of 2, iteration 3'


@pytest.mark.parametrize('config', [None, 'model = dict(oops=1)'])
def test_a_folder_of_a_test_or_of_a_failed_start_changes_nothing(tmp_path, config):
    killed(tmp_path)
    alone = read_run(tmp_path)
    data = tmp_path / SECOND / 'vis_data'
    data.mkdir(parents=True)
    if config is not None:  # mmengine writes it before it builds what it names
        (data / 'config.py').write_text(config)
    later = read_run(tmp_path)
    assert (later.scalars, later.notes) == (alone.scalars, alone.notes)
    assert later.config == alone.config != {}


@pytest.mark.parametrize('named', [{}, {'epoch': 1}], ids=['iterations', 'epochs'])
def test_validations_of_runs_by_iteration_are_placed(tmp_path, named):
    """mmengine gives them the epoch as step, which is 0 throughout, and may name it elsewhere."""
    entries = []
    for step in range(10, 50, 10):
        entries.append(train_entry(step, by_epoch=False) | named)
        if step % 20 == 0:
            entries.append(val_entry(0, step / 100))
    config = 'train_cfg = dict(max_iters=45, type="IterBasedTrainLoop", val_interval=20)'
    write_start(tmp_path, FIRST, entries, config=config)
    run = read_run(tmp_path)
    assert run.metrics()['coco/bbox_mAP'] == ([20, 40], [0.2, 0.4])
    assert run.progress() == 'iteration 40 of 45'
    (tmp_path / 'last_checkpoint').write_text('iter_45.pth')
    assert run.progress() == 'finished: iteration 40 of 45'
    later = [train_entry(30, by_epoch=False) | named, val_entry(0, 0.3)]
    write_start(tmp_path / 'resumed', FIRST, entries, config=config)
    write_start(tmp_path / 'resumed', SECOND, later, config=config)
    assert read_run(tmp_path / 'resumed').metrics()['coco/bbox_mAP'] == ([20, 30], [0.2, 0.3])
    write_start(tmp_path, SECOND, [train_entry(10, by_epoch=False) | named], config=config)
    assert read_run(tmp_path).progress() == 'iteration 10 of 45'  # begun anew


def test_a_log_that_is_being_written(tmp_path):
    path = write_start(tmp_path, FIRST, whole_log()[:3])
    whole = path.read_text()
    path.write_text(whole + json.dumps(train_entry(4))[:50])
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == [1, 2, 3]
    assert run.notes == []
    assert run.progress() == 'epoch 1 of 2, iteration 3'
    path.unlink()
    assert read_run(tmp_path).notes == ['nothing is logged yet']


@pytest.mark.parametrize('folder', ['', 'none', 'file'])
def test_foreign_folders_are_named(tmp_path, folder):
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match=f'{folder}: expected the work dir of a training'):
        read_run(tmp_path / folder)


def test_runs_have_names_that_tell_them_apart(tmp_path):
    paths = [write_run(tmp_path / kind / 'run') for kind in ('a', 'b')]
    assert [run.name for run in read_runs(paths)] == ['a/run', 'b/run']
    assert [run.name for run in read_runs(paths[:1])] == ['run']


def test_a_real_run_is_read_and_tensorboard_groups_its_values_by_pass(tmp_path):
    cfg = shapes_config(tmp_path / 'data', model=detector_config())
    cfg.work_dir, cfg.launcher = str(tmp_path), 'none'
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.default_hooks.logger.interval = 1
    # As docs/CONFIG.md shows them.
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    build_runner(cfg).train()
    run = read_run(tmp_path)
    assert run.notes == []
    assert run.progress() == 'finished: epoch 2 of 2'
    assert run.metrics()['coco/bbox_mAP'][0] == [1, 2]
    assert run.config['model']['gradaug']['num_subnets'] == 2
    titles = [panel.title for panel in section_panels(run)['Losses']]
    assert titles[0] == 'loss by pass'
    assert {'loss_mask', 'loss_rpn_bbox', 'loss_cls'} < set(titles)
    assert not any('roi' in title for title in titles)  # one panel for all passes
    assert len(titles) == len(set(titles))
    events = EventAccumulator(str(next(tmp_path.glob('*/vis_data')))).Reload()
    names = set(events.Tags()['scalars'])
    logged = {key for entry in run.scalars.train + run.scalars.val for key in entry}
    assert names == logged - {'step'}
    assert {'loss', 'full/seconds', 'subnet1/loss_mask_soft', 'subnet2/width'} < names
    assert all(key.count('/') <= 1 for key in names), 'a group for each pass, nothing nested'
