"""Runs of rows, with stand-ins for the tools that take no time; and ten rows made small."""

import fcntl
import json
import math
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.reproduction import runner
from mmgradaug.reproduction.rows import Row, read_rows
from mmgradaug.reproduction.runner import plan_runs, progress, run_all
from mmgradaug.reproduction.smoke import plan_smoke
from tests.launching import TOOLS, children, free_port
from tools import repro

TOOL = """\
import json, os, sys
from pathlib import Path
out = Path(sys.argv[3])
with open(Path(__file__).with_name('calls.txt'), 'a') as file:
    words = [Path(__file__).stem, *sys.argv[1:], os.environ['OMP_NUM_THREADS']]
    print(json.dumps(words), file=file)
if 'fail=1' in sys.argv:
    print('error: the disk is full')
    sys.exit(3)
(out / 'final_and_best.json').write_text(
    '{"final": {"accuracy/top1": 61.5}, "best": {"accuracy/top1": 62.5}}')
(out / 'last_checkpoint').write_text('epoch_4.pth')
(out / 'gpus.txt').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
(out / 'found.json').write_text('{"CE": [1.5, 2.5]}')
"""
SHARED = dict(options='lr={seed}', config='plain.py')
EVALUATED = Row(
    'T8/x', evaluation='tools/evaluate.py {config} {checkpoint} {out}', metrics='CE.1', **SHARED
)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, 'PAUSE', 0.01)
    monkeypatch.setattr(runner.os, 'sched_getaffinity', lambda _: {0, 1, 2})
    (tmp_path / 'tools').mkdir()
    for name in ('pretrain', 'train', 'evaluate'):
        (tmp_path / f'tools/{name}.py').write_text(TOOL)
    (tmp_path / 'plain.py').write_text("model = dict(type='Classifier')\n")
    (tmp_path / 'boxes.py').write_text("model = dict(type='MaskRCNN')\n")
    monkeypatch.chdir(tmp_path)
    return [Row('T1/x', **SHARED), EVALUATED, Row('T7/x', 'boxes.py')]


def run(rows, *options, seeds=1, gpus=1, **kwargs):
    planned = (range(seeds), Path('runs'), options, gpus)
    runs = [r for row in rows for r in plan_runs(row, *planned)]
    run_all(runs, Path('tools').absolute(), Path('records.jsonl'), **kwargs)
    return runs


def lines(name):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_each_run_is_done_and_recorded_once_unless_its_recipe_changes(rows, capsys):
    _, _, evaluated, *_, last = run(rows, seeds=2)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == '6 runs, 6 to do, 1 at a time with 3 threads'
    assert re.fullmatch(r'T1/x seed 0 is done, \d+ s', said[1])
    calls = lines('tools/calls.txt')
    # Table 8 evaluates the trainings of Table 1.
    assert [c[0] for c in calls] == ['pretrain'] * 2 + ['evaluate'] * 2 + ['train'] * 2
    first = calls[0][3]
    assert re.fullmatch(r'runs/plain_seed0_[0-9a-f]{8}', first)
    hook = 'default_hooks.final_and_best'
    assert calls[1][4:] == [
        '--resume', '--cfg-options', 'randomness.seed=1', 'lr=1',
        f'{hook}.type=FinalAndBestHook', f'{hook}.metric=accuracy/top1', '3',
    ]  # fmt: skip
    assert calls[2][1:4] == [f'{first}/plain.py', 'epoch_4.pth', str(evaluated.out)]
    records = lines('records.jsonl')
    assert [(r['id'], r['seed']) for r in records] == [
        (name, seed) for name in ('T1/x', 'T8/x', 'T7/x') for seed in (0, 1)
    ]
    assert [r['final'] for r in records[1:3]] == [{'accuracy/top1': 61.5}, {'CE.1': 2.5}]
    assert records[0]['hash'] == first[-8:]
    (last.work_dir / runner.DONE).unlink()  # as if it was killed before it was noted
    run(rows, seeds=2)
    assert lines('records.jsonl') == records
    assert len(lines('tools/calls.txt')) == 7
    run(rows[:1], 'lr=9')
    assert lines('records.jsonl')[-1]['options'] == ['lr=9']
    run(rows[:1], 'lr=9', 'train_dataloader.dataset.download=True')
    assert len(lines('tools/calls.txt')) == 8, 'where its data are makes no other run'
    run([replace(EVALUATED, evaluation=f'{EVALUATED.evaluation} --images 9')])
    assert lines('tools/calls.txt')[8][0::4][:2] == ['evaluate', '--images']
    keys = [(r['id'], r['hash']) for r in lines('records.jsonl')]
    assert keys[-1] not in keys[:-1] and keys[2] == (evaluated.row.id, evaluated.hash)


def test_every_run_has_gpus_of_its_own(rows, monkeypatch, capsys):
    for words, count, options in [
        ('--jobs 0 --gpus 1, expected 1 or more', 0, dict(jobs=0)),
        ('--jobs 1 --gpus 3, expected .* GPUs that there are', 2, dict(gpus=3)),
    ]:
        monkeypatch.setattr(runner.torch.cuda, 'device_count', lambda count=count: count)
        with pytest.raises(ConfigError, match=words):
            run(rows, **options)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,6')
    runs = run(rows, seeds=2, jobs=3)
    assert capsys.readouterr().out.splitlines()[0] == '6 runs, 6 to do, 2 at a time with 1 threads'
    assert {(one.out / 'gpus.txt').read_text() for one in runs} == {'4', '6'}


def test_rates_are_scaled_to_the_gpus_that_there_are(rows):
    rate, data = 'auto_scale_lr = dict(base_batch_size=16)', 'train_dataloader = dict(batch_size=2)'
    Path('boxes.py').write_text(f"{rate}\n{data}\nmodel = dict(type='MaskRCNN')\n")
    run(rows[1:])
    plain, _, boxes = lines('tools/calls.txt')
    assert '--auto-scale-lr' in boxes and '--auto-scale-lr' not in plain


def test_rows_of_the_same_training_share_it(rows):
    run([rows[0], Row('T4/x', **SHARED), rows[2]])
    assert [call[0] for call in lines('tools/calls.txt')] == ['pretrain', 'train']
    assert [record['id'] for record in lines('records.jsonl')] == ['T1/x', 'T4/x', 'T7/x']


def test_a_run_takes_over_the_checkpoint_of_the_row_it_needs(rows):
    by_id = {row.id: row for row in rows}
    tuned = Row('T7/y', 'boxes.py', 'load={needs} lr={seed}', needs='T1/x')
    (one,) = plan_runs(tuned, [2], Path('runs'), ['epochs=9'], rows=by_id)
    assert one.needs == plan_runs(by_id['T1/x'], [2], Path('runs'))[0]  # without its options
    for ready in ([one.needs], [one]):
        run_all(ready, Path('tools').absolute(), Path('records.jsonl'))
    pretrain, train = lines('tools/calls.txt')
    assert pretrain[0] == 'pretrain' and 'lr=2' in pretrain
    assert train[6:10] == ['randomness.seed=2', 'load=epoch_4.pth', 'lr=2', 'epochs=9']
    # What it was pretrained with is part of its recipe.
    by_id['T1/x'] = replace(by_id['T1/x'], options='lr=3')
    assert plan_runs(tuned, [2], Path('runs'), ['epochs=9'], rows=by_id)[0].hash != one.hash


def test_a_run_that_fails_is_told_and_resumed_and_others_go_on(rows):
    rows[0] = Row('T1/x', 'plain.py', 'fail=1')
    words = (
        r'^1 of 3 runs failed: T1/x seed 0 ended with status 3, see .*: error: the disk is full$'
    )
    for count in (4, 5):
        with pytest.raises(ConfigError, match=words):
            run(rows, jobs=2)
        assert len(lines('tools/calls.txt')) == count
        assert sorted(r['id'] for r in lines('records.jsonl')) == ['T7/x', 'T8/x']


def test_a_run_of_another_process_is_left_alone(rows):
    folder = plan_runs(rows[2], [0], Path('runs'))[0].work_dir
    folder.mkdir(parents=True)
    with open(folder / runner.OUTPUT, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match='is in use by another process'):
            run(rows[2:])


def test_time_left_is_that_of_the_runs_and_of_those_that_wait(tmp_path):
    (tmp_path / runner.OUTPUT).write_text('eta: 1 day, 0:00:10  a\neta: 0:01:40  b\n')
    assert progress({tmp_path: 50.0}, 2, [], 1) == '1 running, 2 waiting, about 0:06:40 to go'
    assert progress({}, 1, [100.0], 2) == '0 running, 1 waiting'


def test_rows_are_listed_where_nothing_can_be_written(monkeypatch, capsys):
    monkeypatch.setattr('mmgradaug.engine.cli.make_output_dir', None)
    repro.main(['list', 'T7/gradaug'])
    assert 'coco/bbox_mAP coco/segm_mAP; paper 38.2 35.4' in capsys.readouterr().out


SMOKED = ['T1/resnet50/gradaug-cutmix', 'T1/resnet50/bagoftricks', 'T2/step', 'T6/cifar10/gradaug',
          'T3/pyramidnet200/cutmix-shakedrop', 'T3/wrn28-10/gradaug', 'T4/wrn28-10/randwidth',
          'T5/wrn28-10/rotation-scale', 'T7/mixup-pretrained', 'T7/gradaug']  # fmt: skip


class InProcess:
    """In place of a process: a tool of this project, run here."""

    def __init__(self, command, stdout, **_):
        self.args, self.returncode = command, 0
        import_module(f'tools.{Path(command[1]).stem}').main(command[2:])

    def poll(self):
        return self.returncode


@pytest.mark.parametrize('name', SMOKED)
def test_a_small_one_runs_from_end_to_end(name, tmp_path, monkeypatch):
    processes = SimpleNamespace(Popen=InProcess, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(runner, 'subprocess', processes)
    monkeypatch.setattr(runner, 'PAUSE', 0)
    row = read_rows()[name]
    run_all([plan_smoke(row, tmp_path / 'row')], TOOLS, tmp_path / 'records')
    (record,) = lines(tmp_path / 'records')
    assert list(record['final']) == row.metrics.split()
    if row.trains:
        assert all(math.isfinite(value or 0) for value in record['final'].values())
        assert record['seconds'] >= 0 < record['step_seconds'] < 60
        assert list(tmp_path.glob('row/*/*_1.pth'))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'tool'), [('T7/gradaug', 'train'), ('T3/wrn28-10/gradaug', 'pretrain')]
)
def test_a_run_on_two_gpus_goes_on_after_a_kill(name, tool, tmp_path, monkeypatch):
    """Two processes on the CPU stand for two on GPUs."""
    monkeypatch.setenv('PORT', str(free_port()))
    row = plan_smoke(read_rows()[name], tmp_path / 'row').row
    (one,) = plan_runs(row, [0], tmp_path, ['train_cfg.max_epochs=3'], gpus=2)
    process = one.start(one.work_dir, TOOLS, 1, 0)
    while not (one.work_dir / 'epoch_1.pth').is_file():
        assert process.poll() is None, (one.work_dir / runner.OUTPUT).read_text()
        time.sleep(0.1)
    command = Path(f'/proc/{process.pid}/cmdline').read_text()
    assert '--nproc-per-node=2' in command and f'/{tool}.py' in command
    workers = children(process.pid)
    for pid in (process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    with open(one.work_dir / runner.OUTPUT) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the last one is gone
    run_all([one], TOOLS, tmp_path / 'records')
    (record,) = lines(tmp_path / 'records')
    assert (len(workers), record['gpus']) == (2, 2)
    assert all(math.isfinite(value or 0) for value in record['final'].values())
    assert 'resumed epoch: 1' in (one.work_dir / runner.OUTPUT).read_text()
    assert (one.work_dir / 'epoch_3.pth').is_file()
