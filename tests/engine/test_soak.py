"""2,000 iterations: memory and open files stay, and no iteration is slower for being late."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from statistics import median

import pytest

from tests.engine.killing import output, shapes, train

ITERATIONS = int(os.environ.get('SOAK_ITERATIONS', 2000))
WARM_UP = ITERATIONS // 5


@pytest.mark.slow
def test_a_long_run_stays_as_it_starts(tmp_path):
    times = ITERATIONS // 16  # 8 images, in batches of 2, in 4 epochs
    options = [
        *shapes(tmp_path / 'shapes'),
        f'train_dataloader.dataset.times={times}',
        'train_dataloader.num_workers=1',
        'train_cfg.max_epochs=4',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=50',
        'default_hooks.measure.type=MeasureHook',
        f'default_hooks.measure.path={tmp_path}/measured',
    ]
    assert train(tmp_path / 'run', options) == 0, output(tmp_path / 'run')
    rows = [json.loads(line) for line in (tmp_path / 'measured').read_text().splitlines()]
    assert len(rows) == 16 * times
    memory = [row['bytes'] for row in rows]
    early, late = (median(part) for part in (memory[WARM_UP : WARM_UP + 100], memory[-100:]))
    seconds = [b['seconds'] - a['seconds'] for a, b in pairwise(rows)]
    first, last = median(seconds[:100]), median(seconds[-100:])
    files = [row['files'] for row in rows[WARM_UP:]]
    print(
        f'{len(rows)} iterations: {early / 2**20:.1f} MiB after {WARM_UP}, {late / 2**20:.1f} MiB '
        f'at the end ({late / early - 1:+.2%}); {min(files)} to {max(files)} open files; CPU '
        f'seconds an iteration {first:.4f} in the first hundred, {last:.4f} in the last'
    )
    assert late < 1.01 * early
    assert files[-1] <= files[0]
    assert last < 1.5 * first
