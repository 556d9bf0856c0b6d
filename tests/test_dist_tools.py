"""The scripts that start several processes, machines and slurm jobs, as users call them.

Where one process fails, or all are killed, every one ends, and nothing is lost.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.engine.killing import checkpoint, differences
from tests.launching import (
    TOOLS,
    children,
    count_logged,
    finish,
    free_port,
    logged,
    printed,
    run,
    running,
    start,
    wait_until_training,
)
from tests.shapes_run import CONFIG, shapes_options


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """Small networks and images."""
    return ['--cfg-options', *shapes_options(tmp_path_factory.mktemp('shapes'))]


def require_trained(work_dir, steps):
    """Check that a run of shapes trained sub-networks in every step, and tested."""
    for key in ('subnet1/loss', 'subnet2/loss', 'subnet1/loss_roi_cls_hard', 'full/loss'):
        assert sorted(logged(work_dir, key)) == list(range(1, steps + 1)), key
        assert all(value > 0 for value in logged(work_dir, key).values()), key
    total, full = logged(work_dir, 'loss'), logged(work_dir, 'full/loss')
    assert all(total[step] > 1.5 * full[step] for step in total)
    assert len(logged(work_dir, 'coco/bbox_mAP')) == 1
    assert (work_dir / 'epoch_1.pth').is_file()


def kill(*pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_training_by_two_processes_trains_sub_networks(options, tmp_path):
    """They end well, and do what is registered for their end."""
    end = "import atexit\natexit.register(print, 'it has ended')\n"
    (tmp_path / 'mine.py').write_text(f'import tests.conftest\n{end}')
    config, work_dir = tmp_path / 'my_config.py', tmp_path / 'a work dir'
    imports = "custom_imports = dict(imports=['mmgradaug', 'mine'])"
    config.write_text(f"_base_ = '{CONFIG}'\n{imports}\n")
    arguments = ['dist_train.sh', config, 2, '--work-dir', work_dir, *options]
    out = run(*arguments, PORT=free_port(), PYTHONPATH=tmp_path)
    require_trained(work_dir, steps=2)  # 8 images, 2 on each process
    assert out.count('it has ended') == 2


@pytest.mark.slow
def test_plain_training_and_testing_by_two_processes(options, tmp_path):
    plain = CONFIG.with_name('mask_rcnn_r18_shapes.py')
    run('dist_train.sh', plain, 2, '--work-dir', tmp_path, *options, PORT=free_port())
    assert len(logged(tmp_path, 'loss')) == 2
    for config in (plain, CONFIG):  # the checkpoint's keys are the same
        arguments = [config, tmp_path / 'epoch_1.pth', 2, '--work-dir', tmp_path / config.stem]
        out = run('dist_test.sh', *arguments, *options, PORT=free_port())
        assert 'Evaluate annotation type *segm*' in out


@pytest.mark.slow
def test_two_machines_train_together(options, tmp_path):
    arguments, port = ['dist_train.sh', CONFIG, 1, '--work-dir', tmp_path, *options], free_port()
    starts = [start(*arguments, NNODES=2, NODE_RANK=rank, PORT=port) for rank in (0, 1)]
    with running(*starts) as machines:
        for machine in machines:
            out = finish(machine)
            assert machine.returncode == 0, out[-5000:]
    require_trained(tmp_path, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'seconds', 'message'),
    [(signal.SIGKILL, 1800, 'peer'), (signal.SIGSTOP, 30, 'Timed out waiting 30000ms')],
    ids=['killed', 'stopped'],
)
def test_a_machine_that_fails_ends_the_other(options, tmp_path, number, seconds, message):
    """At once where its connections close; within the timeout where it says nothing at all."""
    endless = ['train_cfg.max_epochs=100000', 'train_cfg.val_interval=100000']
    endless += ['default_hooks.checkpoint.interval=100000', f'env_cfg.dist_cfg.timeout={seconds}']
    arguments = ['dist_train.sh', CONFIG, 1, '--work-dir', tmp_path, *options, *endless]
    port = free_port()
    starts = [start(*arguments, NNODES=2, NODE_RANK=rank, PORT=port) for rank in (0, 1)]
    with running(*starts) as (first, second):
        wait_until_training(first, tmp_path)
        (worker,) = children(second.pid)
        begin = time.monotonic()
        os.kill(worker, number)
        try:
            out = finish(first)
        finally:
            kill(worker)
    assert first.returncode != 0
    assert message in out, out[-5000:]
    assert time.monotonic() - begin < 150


SEED = int(os.environ.get('KILL_SEED', random.SystemRandom().randrange(10**6)))
ITERATIONS = 16
# Of two iterations: 8 images, 2 on each process.
EPOCHS = ['train_cfg.max_epochs=8', 'train_cfg.val_interval=100']
ITERS = ['train_cfg._delete_=True', 'train_cfg.type=IterBasedTrainLoop']
ITERS += [f'train_cfg.max_iters={ITERATIONS}', 'train_cfg.val_interval=100']
ITERS += ['train_dataloader.sampler.type=InfiniteSampler']
WORKERS = ['train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True']


def descendants(pid):
    """A process and all that it has started, and they."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for child in children(pid):
            found += descendants(child)
    return found


@pytest.mark.slow
@pytest.mark.parametrize('extra', [
    [*EPOCHS, *WORKERS, 'default_hooks.checkpoint.interval=3'],
    [*ITERS, 'default_hooks.checkpoint.interval=2'],
    [*ITERS, *WORKERS, 'default_hooks.checkpoint.interval=3'],
], ids=['epochs', 'iterations', 'iterations-workers'])  # fmt: skip
def test_killed_and_resumed_ends_with_the_same_weights(options, tmp_path, extra):
    """First one process dies, which ends all; then all are killed at once."""
    own = [option for option in options if not option.startswith('train_cfg.')]
    options = [*own, 'default_hooks.checkpoint.by_epoch=False', *extra]
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


@pytest.mark.slow
def test_an_image_that_one_process_cannot_read_ends_all(tmp_path):
    """Soon after the message, far below the timeout of the group."""
    options = ['--cfg-options', *shapes_options(tmp_path / 'shapes')]
    image = sorted((tmp_path / 'shapes/train').iterdir())[3]
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


@pytest.fixture
def call(tmp_path):
    """Returns the words that a script, in a folder whose name has a space, starts or complains."""
    folder = shutil.copytree(TOOLS, tmp_path / 'my checkout/tools')
    for name in ('my python', 'srun'):
        program = folder / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "PYTHONPATH=$PYTHONPATH" "$@"\n')
        program.chmod(0o755)
    env = dict(PATH=f'{folder}:{os.environ["PATH"]}', PYTHON='my python')

    def words(script, *args, expect=0, **variables):
        command = ['bash', folder / script, *args]
        result = subprocess.run(command, env=env | variables, capture_output=True, text=True)
        assert result.returncode == expect, result.stderr
        out = result.stderr if expect else result.stdout
        return out.replace(str(folder.parent), 'CHECKOUT').splitlines()

    return words


TORCHRUN = ['-m', 'torch.distributed.run']


@pytest.mark.parametrize(('script', 'args', 'tool', 'tool_args'), [
    ('dist_train', ['my config.py', '4', '--amp'], 'train', ['my config.py', '--amp']),
    ('dist_test', ['c.py', 'my a.pth', '4', '--tta'], 'test', ['c.py', 'my a.pth', '--tta']),
    ('dist_pretrain', ['c.py', '4', '--resume'], 'pretrain', ['c.py', '--resume']),
])  # fmt: skip
def test_arguments_reach_the_tool(call, script, args, tool, tool_args):
    assert call(f'{script}.sh', *args) == [
        *('PYTHONPATH=CHECKOUT', *TORCHRUN, '--nnodes=1', '--node-rank=0'),
        *('--master-addr=127.0.0.1', '--master-port=29500', '--nproc-per-node=4'),
        *(f'CHECKOUT/tools/{tool}.py', *tool_args, '--launcher', 'pytorch'),
    ]


def test_variables_reach_the_launcher(call):
    nodes = dict(NNODES='3', NODE_RANK='2', MASTER_ADDR='10.0.0.1', PORT='29511')
    assert call('dist_train.sh', 'c.py', '8', PYTHONPATH='/else where', **nodes)[:8] == [
        *('PYTHONPATH=CHECKOUT:/else where', *TORCHRUN, '--nnodes=3', '--node-rank=2'),
        *('--master-addr=10.0.0.1', '--master-port=29511', '--nproc-per-node=8'),
    ]


@pytest.mark.parametrize('line', [
    'dist_train.sh c.py', 'dist_train.sh c.py --amp', 'dist_test.sh c.py 8',
    'dist_pretrain.sh c.py', 'slurm_train.sh gpu job c.py', 'slurm_test.sh',
])  # fmt: skip
def test_wrong_arguments_are_told_with_the_help(call, line):
    script, *args = line.split()
    *usage, error = call(script, *args, expect=2)
    assert any(f'tools/{script}' in line for line in usage)
    assert error == f'error: these arguments do not fit: {" ".join(args)}'


@pytest.mark.parametrize(('tool', 'option'), [
    ('train', ['--work-dir']), ('pretrain', ['--work-dir']), ('test', []),
])  # fmt: skip
def test_slurm(call, tool, option):
    args = [f'slurm_{tool}.sh', 'gpu', 'my job', 'c.py', 'my file', '--amp']
    words = [
        *('PYTHONPATH=CHECKOUT', '-p', 'gpu', '--job-name=my job', '--gres=gpu:8', '--ntasks=16'),
        *('--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1'),
        *('my python', '-u', f'CHECKOUT/tools/{tool}.py', 'c.py', *option, 'my file', '--amp'),
        *('--launcher', 'slurm'),
    ]
    assert call(*args, GPUS='16') == words
    words[9:9] = ['--time=1:00', '-x', 'bad']
    assert call(*args, GPUS='16', SRUN_ARGS='--time=1:00 -x bad') == words


SRUN = """\
#!/usr/bin/env bash
# Runs what follows its own options as two tasks, as slurm would.
while [[ $# -gt 0 && $1 != "$PYTHON" ]]; do shift; done
export SLURM_NTASKS=2 SLURM_NODELIST=here
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""


@pytest.mark.slow
def test_a_slurm_job_trains_sub_networks(options, tmp_path):
    """With stand-ins for srun and scontrol; what they start and how it meets is real."""
    programs = {'srun': SRUN, 'scontrol': '#!/usr/bin/env bash\necho 127.0.0.1\n'}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    work_dir = tmp_path / 'run'
    variables = dict(GPUS=2, MASTER_PORT=free_port(), PATH=f'{tmp_path}:{os.environ["PATH"]}')
    run('slurm_train.sh', 'cpu', 'job', CONFIG, work_dir, *options, **variables)
    require_trained(work_dir, steps=2)
