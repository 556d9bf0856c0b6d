"""Trainings side by side, with a stand-in for tools/pretrain.py that takes no time."""

import json
from pathlib import Path

import pytest

from mmgradaug.engine.seed_runs import RunFailed, SeedRun, last_epoch, run_all, time_left

CONFIG = "train_cfg = dict(max_epochs=4)\nmodel = dict(type='Classifier')\n"
TOOL = """\
import json, os, sys
from pathlib import Path
work_dir = Path(sys.argv[3])
calls = work_dir.parent / 'calls.txt'
with open(calls, 'a') as file:
    print(json.dumps([sys.argv[1:], os.environ['OMP_NUM_THREADS']]), file=file)
if 'fail=1' in sys.argv:
    print('error: the disk is full')
    print('a last line')
    sys.exit(3)
(work_dir / 'final_and_best.json').write_text('{"final": {"step": 4, "accuracy/top1": 61.5}}')
(work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_4.pth'))
"""


@pytest.fixture
def tool(tmp_path):
    (tmp_path / 'config.py').write_text(CONFIG)
    path = tmp_path / 'tools/pretrain.py'
    path.parent.mkdir()
    path.write_text(TOOL)
    return path


def planned(tmp_path, *options):
    config = str(tmp_path / 'config.py')
    return [
        SeedRun(f'run {seed}', config, (f'seed={seed}', *options), tmp_path / f'run{seed}')
        for seed in (0, 1)
    ]


def calls(tmp_path):
    path = tmp_path / 'calls.txt'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def train(tmp_path, tool, *options, at_a_time=1):
    runs = planned(tmp_path, *options)
    run_all(runs, tool, at_a_time, 3, say=lambda text: None)
    return runs


def test_each_run_is_done_once_unless_its_recipe_changes(tmp_path, tool):
    runs = train(tmp_path, tool)
    config = str(tmp_path / 'config.py')
    assert calls(tmp_path) == [
        [[config, '--work-dir', str(run.work_dir), '--resume', '--cfg-options', f'seed={i}'], '3']
        for i, run in enumerate(runs)
    ]
    assert [run.final for run in runs] == [{'step': 4, 'accuracy/top1': 61.5}] * 2
    assert runs[0].checkpoint == tmp_path / 'run0/epoch_4.pth'
    assert [run.share() for run in planned(tmp_path)] == [1.0, 1.0]
    train(tmp_path, tool)
    assert len(calls(tmp_path)) == 2
    kept = tmp_path / 'run0/kept'
    kept.touch()
    train(tmp_path, tool, 'lr=1')
    assert len(calls(tmp_path)) == 4
    assert not kept.exists()  # of the other recipe


def test_a_run_that_fails_is_named_and_goes_on_where_it_was(tmp_path, tool):
    kept = tmp_path / 'run0/kept'
    with pytest.raises(
        RunFailed, match=r'run 0 ended with exit status 3.*\n  error: the disk'
    ) as e:
        train(tmp_path, tool, 'fail=1')
    assert 'a last line' not in str(e.value)
    assert len(calls(tmp_path)) == 1
    kept.touch()
    with pytest.raises(RunFailed):
        train(tmp_path, tool, 'fail=1')
    assert kept.exists()


def test_progress_is_read_from_a_log_that_is_being_written(tmp_path):
    log = tmp_path / 'scalars.json'
    assert last_epoch(None) == 0
    lines = [json.dumps({'loss': 1.0, 'epoch': epoch, 'x': 'y' * 300}) for epoch in range(1, 31)]
    log.write_text('\n'.join([*lines, '{"accuracy/top1": 9.0, "step": 30}', '{"loss": 1']))
    assert last_epoch(log) == 30
    run = SeedRun('one', str(Path(tmp_path, 'config.py')), (), tmp_path / 'run')
    (tmp_path / 'config.py').write_text(CONFIG)
    place = run.work_dir / '20260101_000000/vis_data/scalars.json'
    place.parent.mkdir(parents=True)
    place.write_text('{"epoch": 3, "loss": 1.0}\n')
    assert run.share() == 0.75


def test_time_left():
    assert time_left(10.0, 0.0, 3.0) == 'time left not known yet'
    assert time_left(100.0, 2.0, 3.0) == 'about 2:30 min left'
