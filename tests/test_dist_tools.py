"""The scripts that start several processes, machines and slurm jobs, as users call them."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.launching import (
    TOOLS,
    children,
    finish,
    free_port,
    logged,
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
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    assert first.returncode != 0
    assert message in out, out[-5000:]
    assert time.monotonic() - begin < 150


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
