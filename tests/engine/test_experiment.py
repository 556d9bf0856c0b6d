"""Trainings side by side, with a stand-in for tools/pretrain.py that takes no time."""

import json
import re

import pytest

from mmgradaug.engine import experiment
from mmgradaug.engine.experiment import plan_runs, train_runs
from mmgradaug.errors import ConfigError

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
    sys.exit(3)
(work_dir / 'final_and_best.json').write_text('{"final": {"step": 4, "accuracy/top1": 61.5}}')
(work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_4.pth'))
"""


@pytest.fixture
def tool(tmp_path):
    for name in ('plain', 'long'):
        (tmp_path / f'{name}.py').write_text(f'{CONFIG}name = {name!r}\n')
    path = tmp_path / 'tools/pretrain.py'
    path.parent.mkdir()
    path.write_text(TOOL)
    return path


def planned(tmp_path, *options):
    methods = {name: str(tmp_path / f'{name}.py') for name in ('plain', 'long')}
    return plan_runs(tmp_path, methods, 2, options)


def calls(tmp_path):
    path = tmp_path / 'calls.txt'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def train(tmp_path, tool, *options, said=None):
    plan = planned(tmp_path, *options)
    train_runs(plan, tool, 1, [].append if said is None else said.append)
    return plan


def test_each_run_is_done_once_unless_its_recipe_changes(tmp_path, tool, monkeypatch):
    monkeypatch.setattr(experiment.os, 'cpu_count', lambda: 3)
    said = []
    plan = train(tmp_path, tool, said=said)
    assert said[0] == '4 trainings, 4 of them to do, 1 at a time with 3 threads'
    assert re.fullmatch(r'long seed 0 is done, 3 to go, about \d+\.\d minutes', said[1])
    assert said[-1] == 'plain seed 1 is done, 0 to go, about 0.0 minutes'
    expected = []
    for name in ('long', 'plain'):
        for seed, run in enumerate(plan[name]):
            assert re.fullmatch(rf'{name}_seed{seed}_[0-9a-f]{{8}}', run.work_dir.name)
            options = [f'randomness.seed={seed}', f'train_dataloader.dataset.subset_seed={seed}']
            words = [run.config, '--work-dir', str(run.work_dir), '--resume', '--cfg-options']
            expected.append([[*words, *options], '3'])
    assert calls(tmp_path) == expected
    assert plan['plain'][1].final == {'step': 4, 'accuracy/top1': 61.5}
    assert plan['plain'][0].checkpoint == plan['plain'][0].work_dir / 'epoch_4.pth'
    train(tmp_path, tool)
    assert len(calls(tmp_path)) == 4
    other = train(tmp_path, tool, 'lr=1')
    assert len(calls(tmp_path)) == 8
    assert other['long'][0].work_dir != plan['long'][0].work_dir


def test_a_run_that_fails_is_named_and_resumed(tmp_path, tool):
    words = r'long seed 0 ended with status 3, see .*: error: the disk is full$'
    for count in (1, 2):
        with pytest.raises(ConfigError, match=words):
            train(tmp_path, tool, 'fail=1')
        assert len(calls(tmp_path)) == count
    first, second = calls(tmp_path)
    assert first == second  # with --resume, in the same folder
