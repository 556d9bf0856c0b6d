from types import SimpleNamespace

import numpy as np
import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.visualization.sweep import read_sweep, save_sweep
from tests.visualization.pictures import pixels_of

FOLDER = 'configs/classification/wrn28-10_cifar100'
OPTIONS = {'n2': 'model.gradaug.num_subnets=2', 'width': 'model.gradaug.min_width=0.5', 'n3': ''}
ROWS = [
    SimpleNamespace(id=name, config=f'{FOLDER}_gradaug.py', options=own, metrics='top1 top5')
    for name, own in OPTIONS.items()
]
ROWS.append(SimpleNamespace(id='plain', config=f'{FOLDER}.py', options='', metrics='top1'))


def record(name, value, seconds=10, seed=0, recipe=None, options=()):
    return dict(id=name, seed=seed, hash=recipe or name, options=list(options), seconds=seconds,
                final=dict(top1=value))  # fmt: skip


def test_runs_are_sorted_by_what_was_swept():
    """The training of two rows counts once; users' own options count as those of rows do."""
    records = [
        record('n2', 70), record('n2', 71, 30, seed=1), record('n3', 72, recipe='a'),
        record('n3', 72, recipe='a'), record('n3', 73, options=['model.gradaug.num_subnets=4']),
        record('width', 69), record('other', 1), record('plain', 60, 5),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match='no record of n2, width, n3, plain has sub-networks'):
        read_sweep(ROWS, records[-2:])
    assert read_sweep(ROWS, records) == {
        (2, 0.8): {('n2', 0): (70, 10), ('n2', 1): (71, 30)}, (3, 0.8): {('a', 0): (72, 10)},
        (4, 0.8): {('n3', 0): (73, 10)}, (3, 0.5): {('width', 0): (69, 10)},
        (0, 1.0): {('plain', 0): (60, 5)},
    }  # fmt: skip


def test_points_are_at_the_means_with_what_they_cost(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'matplotlib.axes.Axes.annotate',
        lambda axes, text, point, *a, **k: drawn.append((text, point)),
    )
    runs = {(1, 0.8): {('a', 0): (70, 20), ('a', 1): (72, 40)}, (3, 0.8): {('b', 0): (75, 45)},
            (3, 0.5): {('c', 0): (74, 40)}}  # fmt: skip
    free = pixels_of(save_sweep(runs, tmp_path / 'sweep.png', 'top1'))
    assert drawn == [('', (1, 71)), ('', (3, 75)), ('', (0.5, 74)), ('', (0.8, 75))]
    drawn.clear()
    runs[0, 1.0] = {('p', 0): (69, 15)}
    assert (pixels_of(save_sweep(runs, tmp_path / 'sweep.png', 'top1')) != free).any()
    assert drawn[:3] == [('1.00 x', (0, 69)), ('2.00 x', (1, 71)), ('3.00 x', (3, 75))]
    of_time = [(text, np.round(point, 3).tolist()) for text, point in drawn[-4:]]
    assert of_time == [('plain', [1, 69]), ('n=1, 0.8', [2, 71]), ('n=3, 0.5', [2.667, 74]),
                       ('n=3, 0.8', [3, 75])]  # fmt: skip
