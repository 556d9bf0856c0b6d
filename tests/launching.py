"""Starts the scripts for several processes as users do, and looks at what they leave."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.networks import ROOT

TOOLS = Path(ROOT, 'tools')
SECONDS = 600  # for one run; a hang fails, it does not stall the tests


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def start(script, *args, **variables):
    """Start a script as a user does, in a session of its own; `log` is what it prints."""
    env = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'}
    env |= {name: str(value) for name, value in variables.items()}
    log = tempfile.NamedTemporaryFile('w')  # noqa: SIM115
    command = ['bash', TOOLS / script, *map(str, args)]
    output = dict(stdout=log, stderr=subprocess.STDOUT)
    process = subprocess.Popen(command, env=env, cwd=ROOT, start_new_session=True, **output)
    process.log = log
    return process


def finish(process):
    """Wait for the end of a script; returns what it printed."""
    process.wait(timeout=SECONDS)
    return printed(process)


def printed(process):
    """What a script has printed so far."""
    return Path(process.log.name).read_text()


@contextlib.contextmanager
def running(*starts):
    """Scripts that run meanwhile; whatever is left of them ends here."""
    try:
        yield starts
    finally:
        for process in starts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.log.close()


def run(script, *args, expect=0, **variables):
    """Run a script to its end; returns what it printed."""
    with running(start(script, *args, **variables)) as (process,):
        out = finish(process)
    assert process.returncode == expect, out[-5000:]
    return out


def logged(work_dir, key):
    """Values of a key by iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return {line['step']: line[key] for line in lines if key in line}


def wait_until_training(parent, work_dir, iterations=1):
    """Wait until so many iterations are logged, by all runs in a folder together."""
    deadline = time.monotonic() + SECONDS
    while count_logged(work_dir) < iterations:
        assert parent.poll() is None, printed(parent)[-5000:]
        assert time.monotonic() < deadline, f'{iterations} iterations were not logged'
        time.sleep(0.1)


def count_logged(work_dir):
    """Lines that runs in a folder have logged."""
    return sum(path.read_text().count('\n') for path in work_dir.glob('*/vis_data/scalars.json'))


def children(pid):
    """Processes that a process has started."""
    found = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(child) for child in found.split()]
