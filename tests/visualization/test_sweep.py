import math
from types import SimpleNamespace

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.reproduction.rows import SweptRun, read_sweep
from mmgradaug.visualization.sweeps import save_sweep

FOLDER = 'configs/classification/wrn28-10_cifar100'
SWEPT = {'n2': 'model.gradaug.num_subnets=2', 'width': 'model.gradaug.min_width=0.5', 'n3': ''}
ROWS = [SimpleNamespace(id='plain', config=f'{FOLDER}.py', options='', metrics='top1')]
ROWS += [SimpleNamespace(id=i, config=f'{FOLDER}_gradaug.py', options=options, metrics='top1 top5')
         for i, options in SWEPT.items()]  # fmt: skip


def record(name, value, seconds=10, seed=0, options=()):
    final = dict(top1=value)
    return dict(id=name, seed=seed, options=options, step_seconds=seconds, final=final)


def test_runs_are_sorted_by_what_was_swept():
    """A training that two rows or versions share counts once; users' options as those of rows."""
    plain = [record('other', 1), record('plain', 60, 5)]
    with pytest.raises(ConfigError, match='no record of these rows has sub-networks'):
        read_sweep(ROWS, plain)
    records = [record('n2', 70), record('n2', 71, 30, seed=1), record('n3', 9), record('n3', 72)]
    records += [record('n3', 1, options=['train_cfg.max_epochs=1'])]
    records += [record('n3', 73, options=['model.gradaug.num_subnets=4']), record('width', 69)]
    assert read_sweep(ROWS, records + plain) == [
        (2, 0.8, 70, 10), (2, 0.8, 71, 30), (3, 0.8, 72, 10), (4, 0.8, 73, 10), (3, 0.5, 69, 10),
        (0, 1.0, 60, 5),
    ]  # fmt: skip


def test_points_are_at_the_means_with_what_they_cost(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr('matplotlib.axes.Axes.annotate', lambda _, *a, **k: drawn.append(a[:2]))
    runs = [(1, 0.8, 70, 20), (1, 0.8, 72, 40), (3, 0.8, 75, 45), (3, 0.5, 74, 60)]
    runs, plain = [SweptRun(*run) for run in runs], SweptRun(0, 1.0, 69, 15)
    save_sweep(runs, tmp_path / 'sweep.png', 'top1')
    older = SweptRun(0, 1.0, 69, math.nan)  # no time of its steps is recorded
    assert drawn == [('', (1, 71)), ('', (3, 75)), ('', (0.5, 74)), ('', (0.8, 75))]
    save_sweep([*runs, older], tmp_path / 'sweep.png', 'top1')
    assert drawn[4:] == [('', (0, 69)), *drawn[:4]]
    drawn.clear()
    assert save_sweep([*runs, plain], tmp_path / 'a.png', 'top1').is_file()
    assert drawn[:3] == [('1.00 x', (0, 69)), ('2.00 x', (1, 71)), ('3.00 x', (3, 75))]
    told = [('plain', (1, 69)), ('n=1, 0.8', (2, 71)), ('n=3, 0.8', (3, 75)), ('n=3, 0.5', (4, 74))]
    assert drawn[-4:] == told
