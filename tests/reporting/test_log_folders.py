"""A training's log is read from all its starts, also while it is written, damaged or resumed."""

import json
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmgradaug.reporting import read_run
from mmgradaug.reporting.log_folders import find_log_folders, merge
from tests.reporting.work_dirs import (
    train_entry,
    val_entry,
    whole_log,
    write_start,
)

FIRST, SECOND = '20261122_050000', '20261122_060000'


def steps(entries):
    return [entry['step'] for entry in entries]


def killed(folder: Path, last: int = 7) -> None:
    """A start that died after so many iterations and the validation of the first epoch."""
    entries = [entry for entry in whole_log() if 'loss' not in entry or entry['step'] <= last]
    write_start(folder, FIRST, [e for e in entries if 'loss' in e or e['step'] == 1])


def test_a_resumed_run_is_one(tmp_path):
    """What was logged beyond the checkpoint was done again: its new values count, once."""
    killed(tmp_path)
    again = [{**train_entry(step), 'loss': 100.0 + step} for step in range(5, 9)]
    write_start(tmp_path, SECOND, [*again, val_entry(2, 0.9)], resumed=(1, 4))
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == list(range(1, 9))
    assert [e['loss'] for e in run.scalars.train] == [12, 6, 4, 3, 105, 106, 107, 108]
    assert run.metrics()['coco/bbox_mAP'] == [(1, 0.54), (2, 0.9)]
    assert run.notes == [
        f'{SECOND} resumed after iteration 4; 3 iterations done before were done again'
    ]
    assert run.progress() == 'finished: 2 epochs'
    assert run.seconds == 200


def test_a_validation_that_was_due_counts_once(tmp_path):
    """PendingValidationHook validates before the resumed run's first iteration."""
    killed(tmp_path)
    write_start(tmp_path, SECOND, [val_entry(1, 0.7), train_entry(5)], resumed=(1, 4))
    run = read_run(tmp_path)
    assert run.metrics()['coco/bbox_mAP'] == [(1, 0.7)]
    assert run.progress() == '1 of 2 epochs done, iteration 5'


@pytest.mark.parametrize('text', [True, False])
def test_a_run_started_anew_is_alone(tmp_path, text):
    """Also if it logs more seldom than the one before: no value of that one is kept."""
    killed(tmp_path)
    entries = [train_entry(1), train_entry(3)] if not text else [train_entry(3)]
    write_start(tmp_path, SECOND, entries, text=text)
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == steps(entries)
    assert run.scalars.val == []
    assert run.notes == [f'{SECOND} started anew: what was logged before it is left out']


def test_without_the_text_log_the_first_entry_tells_where_a_start_began(tmp_path):
    killed(tmp_path)
    write_start(tmp_path, SECOND, [train_entry(step) for step in range(5, 9)], text=False)
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == list(range(1, 9))
    assert steps(run.scalars.val) == [1]


def test_a_folder_of_a_test_changes_nothing(tmp_path):
    killed(tmp_path)
    alone = read_run(tmp_path)
    (tmp_path / SECOND).mkdir()
    (tmp_path / SECOND / f'{SECOND}.log').write_text('a test\n')
    with_test = read_run(tmp_path)
    assert with_test.scalars == alone.scalars
    assert with_test.config == alone.config != {}
    assert with_test.notes == [f'{SECOND} has logged nothing yet, or is of a test']


def test_validations_of_runs_by_iteration_are_placed(tmp_path):
    """mmengine gives them the epoch as step, which is 0 throughout."""
    entries = []
    for step in range(10, 50, 10):
        entries.append(train_entry(step, by_epoch=False))
        if step % 20 == 0:
            entries.append(val_entry(0, step / 100))
    config = 'train_cfg = dict(max_iters=40, type="IterBasedTrainLoop", val_interval=20)'
    write_start(tmp_path, FIRST, entries, config=config)
    run = read_run(tmp_path)
    assert run.metrics()['coco/bbox_mAP'] == [(20, 0.2), (40, 0.4)]
    assert run.progress() == 'finished: 40 iterations'


def test_a_log_that_is_being_written(tmp_path):
    path = write_start(tmp_path, FIRST, whole_log()[:3])
    whole = path.read_text()
    path.write_text(whole + json.dumps(train_entry(4))[:50])
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == [1, 2, 3]
    assert run.notes == []
    assert run.progress() == '0 of 2 epochs done, iteration 3'
    path.write_text(whole.rstrip('\n'))  # the line is whole, its end is still to come
    assert read_run(tmp_path).scalars == run.scalars


def test_a_run_that_has_just_started(tmp_path):
    write_start(tmp_path, FIRST, []).unlink()
    run = read_run(tmp_path)
    assert (run.scalars.train, run.scalars.val) == ([], [])
    assert run.notes[0].startswith('nothing is logged yet')
    assert run.config['train_cfg']['max_epochs'] == 2


@pytest.mark.parametrize(
    'line',
    [
        '',
        '{"loss": 1.0, "st',
        '[["step", 1]]',
        '{"loss": 1.0}',
        '{"loss": 1, "step": "x"}',
        '{"loss": 1, "step": NaN}',
        '{"loss": 1, "step": ' + 400 * '9' + '}',
        9999 * '[',
        '\x00',
    ],
)
def test_a_damaged_line_is_left_out_and_counted(tmp_path, line):
    path = write_start(tmp_path, FIRST, whole_log())
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([*lines[:2], line, *lines[2:]]) + '\n')
    run = read_run(tmp_path)
    assert steps(run.scalars.train) == list(range(1, 9))
    assert run.notes == [f'a line of the log of {FIRST} cannot be read and left out']


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 4000), noise=st.binary(max_size=80), place=st.integers(0, 4000))
def test_whatever_happens_to_a_file_whole_lines_are_read(tmp_path, cut, noise, place):
    """Cut anywhere, with any bytes written over it: an error of ours, or every whole line."""
    folder = tmp_path / f'{cut}_{place}_{noise.hex()[:20]}'
    folder.mkdir(exist_ok=True)
    name = str(len(list(folder.iterdir())))
    path = write_start(folder / name, FIRST, whole_log())
    data = path.read_bytes()
    data = data[: len(data) - cut]
    place = min(place, len(data))
    path.write_bytes(data[:place] + noise + data[place + len(noise) :])
    kept = [line for line in data.split(b'\n')[:-1] if line in path.read_bytes().split(b'\n')]
    with suppress(ValueError) if not kept else nullcontext():
        scalars = merge(find_log_folders(folder / name))
        found = [*scalars.train, *scalars.val]
        assert all(json.loads(line) in found for line in kept)
