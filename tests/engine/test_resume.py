"""Runs that are killed, really, and resumed end with the weights of one that was not."""

import os
import random
import re

import pytest

from tests.engine.killing import Kill, checkpoint, differences, train
from tests.shapes_run import shapes_options

EPOCHS = ['train_cfg.max_epochs=3', 'default_hooks.checkpoint.interval=1']
ITERATIONS = 12  # 8 images in batches of 2, three times
SEED = int(os.environ.get('KILL_SEED', random.SystemRandom().randrange(10**6)))
AMP = ['optim_wrapper.type=CpuAmpOptimWrapper', 'optim_wrapper.casts=False']
EMA = ['default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.01']


@pytest.fixture(scope='module')
def generator():
    print(f'KILL_SEED={SEED} repeats these kills')
    return random.Random(SEED)


def assert_same_end(whole, killed, name, kills):
    found = differences(checkpoint(whole, name), checkpoint(killed, name))
    assert found == [], f'after {kills} with KILL_SEED={SEED}'


def test_a_killed_run_ends_with_the_same_weights(tmp_path, generator):
    small = shapes_options(tmp_path / 'shapes', train=4)
    options = ['--cfg-options', *small, *EPOCHS, 'default_hooks.checkpoint.max_keep_ckpts=1']
    train(tmp_path / 'whole', options)
    # Somewhere in the second epoch, so that there is something to resume; then half-way through
    # writing its checkpoint.
    kills = [Kill(generator.randrange(2, 4)), Kill(write=0)]
    work_dir = tmp_path / 'killed'
    assert train(work_dir, options, kill=kills[0])
    assert train(work_dir, options, '--resume', kill=kills[1])
    left = sorted(path.name for path in work_dir.glob('*pth*'))
    assert re.fullmatch(r'epoch_1\.pth epoch_2\.pth\.\d+\.incomplete', ' '.join(left))
    train(work_dir, options, '--resume')
    assert_same_end(tmp_path / 'whole', work_dir, 'epoch_3.pth', kills)
    assert [path.name for path in work_dir.glob('*pth*')] == ['epoch_3.pth']


@pytest.mark.slow
@pytest.mark.parametrize('extra', [
    ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True', *EMA],
    ['train_dataloader.num_workers=2', *AMP],
    ['optim_wrapper.accumulative_counts=3', 'randomness.seed=None'],
])  # fmt: skip
def test_killed_anywhere_any_number_of_times(tmp_path, generator, extra):
    """Checkpoints by iterations, also within epochs; several kills, some during a write."""
    every = ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=3']
    options = ['--cfg-options', *shapes_options(tmp_path / 'shapes'), *EPOCHS, *every, *extra]
    if 'randomness.seed=None' in extra:  # both runs start from one checkpoint, and its seed
        assert train(tmp_path / 'start', options, kill=Kill(4))
        options = [*options, f'load_from={tmp_path}/start/iter_3.pth', 'resume=True']
    train(tmp_path / 'whole', options)
    kills = [
        Kill(generator.randrange(ITERATIONS)) if is_early else Kill(write=generator.randrange(4))
        for is_early in generator.choices((True, False), (0.6, 0.4), k=4)
    ]
    work_dir = tmp_path / 'killed'
    for kill in [*kills, None]:
        # Before there is a checkpoint, starting again is what a user does.
        args = ['--resume'] if (work_dir / 'last_checkpoint').exists() else []
        train(work_dir, options, *args, kill=kill)
    assert_same_end(tmp_path / 'whole', work_dir, 'iter_12.pth', kills)
