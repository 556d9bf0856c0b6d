"""The scripts that start several processes, machines and slurm jobs, as users call them."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.launching import (
    CONFIG,
    ROOT,
    SECONDS,
    TOOLS,
    children,
    endless,
    finish,
    free_port,
    logged,
    run,
    running,
    small_options,
    start,
    wait_until_training,
)


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """Small networks and images, as `--cfg-options`."""
    return small_options(tmp_path_factory.mktemp('shapes'))


def require_trained(work_dir, steps):
    """Check that a run of shapes trained sub-networks in every step, and tested."""
    for key in ('subnet1/loss', 'subnet2/loss', 'subnet1/loss_roi_cls_soft', 'full/loss'):
        assert sorted(logged(work_dir, key)) == list(range(1, steps + 1)), key
        assert all(value > 0 for value in logged(work_dir, key).values()), key
    total, full = logged(work_dir, 'loss'), logged(work_dir, 'full/loss')
    assert all(total[step] > 1.5 * full[step] for step in total)
    assert len(logged(work_dir, 'coco/bbox_mAP')) == 1
    assert (work_dir / 'epoch_1.pth').is_file()


# ------------------------------------------------------------------ one machine


def test_training_by_two_processes_trains_sub_networks(options, tmp_path):
    work_dir = tmp_path / 'a work dir'
    run('dist_train.sh', CONFIG, 2, '--work-dir', work_dir, *options, PORT=free_port())
    require_trained(work_dir, steps=2)  # 8 images, 2 on each process


@pytest.mark.slow
def test_plain_training_and_testing_by_two_processes(options, tmp_path):
    plain = ROOT / 'configs/mask_rcnn_r18_shapes.py'
    run('dist_train.sh', plain, 2, '--work-dir', tmp_path, *options, PORT=free_port())
    assert len(logged(tmp_path, 'loss')) == 2
    checkpoint = tmp_path / 'epoch_1.pth'
    for config in (plain, CONFIG):  # the checkpoint's keys are the same
        folder = tmp_path / config.stem
        out = run(
            *('dist_test.sh', config, checkpoint, 2, '--work-dir', folder, *options),
            PORT=free_port(),
        )
        assert 'Evaluate annotation type *segm*' in out


@pytest.mark.slow
def test_a_killed_process_ends_the_run(options, tmp_path):
    with running(endless(tmp_path, options, GPUS=2)) as (parent,):
        wait_until_training(parent, tmp_path)
        os.kill(children(parent.pid)[1], signal.SIGKILL)
        out = finish(parent)
    assert parent.returncode != 0
    assert 'Signal 9 (SIGKILL)' in out


# ------------------------------------------------------------------ two machines


def two_machines(*args):
    """Start both machines' scripts here."""
    port = free_port()
    return [start(*args, NNODES=2, NODE_RANK=rank, PORT=port) for rank in (0, 1)]


@pytest.mark.slow
def test_two_machines_train_together(options, tmp_path):
    arguments = ['dist_train.sh', CONFIG, 1, '--work-dir', tmp_path, *options]
    with running(*two_machines(*arguments)) as machines:
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
    port = free_port()
    machines = [
        endless(tmp_path, options, seconds, GPUS=1, NNODES=2, NODE_RANK=rank, PORT=port)
        for rank in (0, 1)
    ]
    with running(*machines) as (first, second):
        wait_until_training(first, tmp_path)
        (worker,) = children(second.pid)
        begin = time.monotonic()
        os.kill(worker, number)
        try:
            out = finish(first)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    assert first.returncode != 0
    assert message in out, out[-5000:]
    assert time.monotonic() - begin < 150


# ------------------------------------------------------------------ the scripts


@pytest.fixture
def echo(tmp_path):
    """A program that prints its arguments, one a line, and what it finds on PYTHONPATH."""
    program = tmp_path / 'a program'
    program.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "PATH=$PYTHONPATH" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def checkout(tmp_path):
    """The scripts in a folder whose name has a space."""
    folder = tmp_path / 'my checkout'
    shutil.copytree(TOOLS, folder / 'tools')
    return folder


def call(script, *args, expect=0, **variables):
    """Run a script that only prints; returns the lines."""
    env = {k: v for k, v in os.environ.items() if k not in ('NNODES', 'PORT', 'PYTHONPATH')}
    result = subprocess.run(
        ['bash', script, *map(str, args)],
        env=env | {k: str(v) for k, v in variables.items()},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert result.returncode == expect, result.stderr
    return (result.stdout if expect == 0 else result.stderr).splitlines()


def test_variables_and_arguments_reach_the_launcher(checkout, echo):
    tool = f'{checkout}/tools/train.py'
    common = ['-m', 'torch.distributed.run']
    script = checkout / 'tools/dist_train.sh'
    assert call(script, 'my config.py', 4, '--amp', PYTHON=echo) == [
        *(f'PATH={checkout}', *common, '--nnodes=1', '--node-rank=0', '--master-addr=127.0.0.1'),
        *('--master-port=29500', '--nproc-per-node=4'),
        *(tool, 'my config.py', '--amp', '--launcher', 'pytorch'),
    ]
    nodes = dict(NNODES=3, NODE_RANK=2, MASTER_ADDR='10.0.0.1', PORT=29511)
    lines = call(script, 'c.py', 8, PYTHON=echo, PYTHONPATH='/else where', **nodes)
    assert lines == [
        *(f'PATH={checkout}:/else where', *common, '--nnodes=3', '--node-rank=2'),
        *('--master-addr=10.0.0.1', '--master-port=29511', '--nproc-per-node=8'),
        *(tool, 'c.py', '--launcher', 'pytorch'),
    ]


def test_testing_takes_a_checkpoint(checkout, echo):
    script = checkout / 'tools/dist_test.sh'
    lines = call(script, 'c.py', 'my checkpoint.pth', 2, '--tta', PYTHON=echo)
    assert lines[-7:] == [
        *('--nproc-per-node=2', f'{checkout}/tools/test.py', 'c.py', 'my checkpoint.pth'),
        *('--tta', '--launcher', 'pytorch'),
    ]


@pytest.mark.parametrize(
    ('script', 'args', 'expected'),
    [
        ('dist_train.sh', ['c.py'], 'a config and a number of processes, got: c.py'),
        ('dist_train.sh', ['c.py', '--amp'], 'a config and a number of processes, got: c.py --amp'),
        ('dist_test.sh', ['c.py', '8'], 'a config, a checkpoint and a number of processes'),
        ('dist_pretrain.sh', ['c.py'], 'a config and a number of processes'),
        ('slurm_train.sh', ['gpu', 'job', 'c.py'], 'a partition, a job name, a config and a work'),
        ('slurm_test.sh', [], 'a partition, a job name, a config and a checkpoint, got: '),
    ],
)
def test_wrong_arguments_are_named(script, args, expected):
    *usage, error = call(TOOLS / script, *args, expect=2)
    assert any(f'tools/{script}' in line for line in usage)
    assert f'error: expected {expected}' in error


@pytest.mark.parametrize(
    ('script', 'tool', 'option'),
    [('slurm_train.sh', 'train.py', ['--work-dir']), ('slurm_test.sh', 'test.py', [])],
)
def test_slurm(checkout, echo, script, tool, option):
    echo.rename(echo.with_name('srun'))
    args = ['gpu', 'my job', 'c.py', 'my file', '--amp']
    variables = dict(GPUS=16, SRUN_ARGS='--time=1:00 -x bad', PYTHON='python3')
    path = f'{echo.parent}:{os.environ["PATH"]}'
    lines = call(checkout / 'tools' / script, *args, PATH=path, **variables)
    assert lines == [
        *(f'PATH={checkout}', '-p', 'gpu', '--job-name=my job', '--gres=gpu:8', '--ntasks=16'),
        *('--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1'),
        *('--time=1:00', '-x', 'bad', 'python3', '-u', f'{checkout}/tools/{tool}'),
        *('c.py', *option, 'my file', '--amp', '--launcher', 'slurm'),
    ]
    del variables['SRUN_ARGS']
    assert '--time=1:00' not in call(checkout / 'tools' / script, *args, PATH=path, **variables)


SRUN = """\
#!/usr/bin/env bash
# Runs what slurm would, as many times as it is asked for.
while [[ $1 == -* ]]; do
    case $1 in
        --ntasks=*) tasks=${1#*=}; shift ;;
        -p) shift 2 ;;
        *) shift ;;
    esac
done
export SLURM_NTASKS=$tasks SLURM_NODELIST=here
for ((task = 0; task < tasks; task++)); do
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
