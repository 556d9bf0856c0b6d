"""Several processes of which one fails, or all are killed: every one ends, and nothing is lost."""

import contextlib
import os
import random
import signal
import time

import pytest

from tests.engine.killing import checkpoint, differences
from tests.launching import (
    children,
    count_logged,
    finish,
    free_port,
    printed,
    run,
    running,
    start,
    wait_until_training,
)
from tests.shapes_run import CONFIG, shapes_options

pytestmark = pytest.mark.slow
SEED = int(os.environ.get('KILL_SEED', random.SystemRandom().randrange(10**6)))
ITERATIONS = 16
OPTIONS = ['default_hooks.checkpoint.by_epoch=False']
# Of two iterations: 8 images, 2 on each process.
EPOCHS = ['train_cfg.max_epochs=8', 'train_cfg.val_interval=100']
ITERS = ['train_cfg._delete_=True', 'train_cfg.type=IterBasedTrainLoop']
ITERS += [f'train_cfg.max_iters={ITERATIONS}', 'train_cfg.val_interval=100']
ITERS += ['train_dataloader.sampler.type=InfiniteSampler']
WORKERS = ['train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True']


@pytest.fixture
def data(tmp_path):
    return tmp_path / 'shapes', ['--cfg-options', *shapes_options(tmp_path / 'shapes')]


def descendants(pid):
    """A process and all that it has started, and they."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for child in children(pid):
            found += descendants(child)
    return found


def kill(*pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize('extra', [
    [*EPOCHS, *WORKERS, 'default_hooks.checkpoint.interval=3'],
    [*ITERS, 'default_hooks.checkpoint.interval=2'],
    [*ITERS, *WORKERS, 'default_hooks.checkpoint.interval=3'],
], ids=['epochs', 'iterations', 'iterations-workers'])  # fmt: skip
def test_killed_and_resumed_ends_with_the_same_weights(data, tmp_path, extra):
    """First one process dies, which ends all; then all are killed at once."""
    own = [option for option in data[1] if not option.startswith('train_cfg.')]
    options = [*own, *OPTIONS, *extra]
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    arguments = ['dist_train.sh', CONFIG, 2, '--work-dir']
    run(*arguments, whole, *options, PORT=free_port())
    generator = random.Random(SEED)
    print(f'KILL_SEED={SEED} repeats these kills, as far as time allows')
    for victims in (slice(1, 2), slice(None)):
        resume = ['--resume'] if killed.exists() else []
        begin = count_logged(killed)
        with running(start(*arguments, killed, *resume, *options, PORT=free_port())) as (parent,):
            wait_until_training(parent, killed, begin + generator.randrange(4, 7))
            workers = children(parent.pid)
            assert len(workers) == 2
            if victims == slice(None):
                kill(parent.pid, *(pid for worker in workers for pid in descendants(worker)))
            else:
                kill(workers[1])
            out = finish(parent)
        assert parent.returncode != 0, out[-5000:]
        assert not (killed / f'iter_{ITERATIONS}.pth').exists()
        assert (killed / 'last_checkpoint').exists()
    run(*arguments, killed, '--resume', *options, PORT=free_port())
    assert count_logged(killed) < 3 * ITERATIONS  # it did not start again
    ends = [checkpoint(folder, f'iter_{ITERATIONS}.pth') for folder in (whole, killed)]
    assert differences(*ends) == [], f'with KILL_SEED={SEED}'


def test_an_image_that_one_process_cannot_read_ends_all(data, tmp_path):
    """Soon after the message, far below the timeout of the group."""
    root, options = data
    image = sorted((root / 'train').iterdir())[3]
    image.write_bytes(image.read_bytes()[:100])
    arguments = ['dist_train.sh', CONFIG, 2, '--work-dir', tmp_path / 'run', *options, *WORKERS]
    with running(start(*arguments, PORT=free_port())) as (parent,):
        while f'error: cannot read the image {image}' not in printed(parent):
            assert parent.poll() is None, printed(parent)[-5000:]
            time.sleep(0.2)
        begin = time.monotonic()
        out = finish(parent)
        assert time.monotonic() - begin < 60
    assert parent.returncode == 1, out[-5000:]
    assert out.count('max_bad_images=N') == 1  # the other process has nothing to say
