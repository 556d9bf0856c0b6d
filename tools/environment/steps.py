"""Runs one command of the set-up: output in the log, progress on the screen, ended as a whole."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import SetupError
from .host import SPACE, free_gb
from .progress import PipStatus, Progress
from .stack import ROOT


def run(
    title: str,
    command: list[str],
    log: Path,
    env: dict[str, str] | None = None,
    status: Callable[[str, float], str | None] | None = None,
) -> None:
    """Runs a command in the checkout.

    Args:
        title: What to show.
        command: The command.
        log: The file that its output is added to.
        env: Variables beside those of this process.
        status: Turns a line of output, '' in seconds without any, and the seconds so far into
            what to show; by default for the output of pip.

    Raises:
        SetupError: The command failed; the end of its output is shown.
    """
    progress, status, lines = Progress(title), status or PipStatus(), []
    with log.open('a') as file, start(command, env or {}) as process:
        file.write(f'\n$ {" ".join(command)}\n')
        try:
            for line in read_lines(process):
                if line is not None and not line.startswith('Progress '):  # pip's, four a second
                    file.write(line + '\n')
                    lines.append(line)
                progress.status = status(line or '', progress.elapsed()) or progress.status
                progress.tick()
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            progress.finish('interrupted')
            raise
    progress.finish('done' if code == 0 else 'FAILED')
    if code != 0:
        raise SetupError(
            f'exit status {code} of: {" ".join(command)}\n{excerpt(lines)}',
            f'{remedy(lines, log)}; the same command goes on from here',
        )


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command in the checkout, both its outputs in one pipe."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, 'PYTHONUNBUFFERED': '1', **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # An interrupt then reaches this process alone, which ends the whole tree of the command.
        start_new_session=True,
    )


def read_lines(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """Yields the lines of a process's output, and None every second while there are none."""
    pipe, buffer = process.stdout, b''
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1):
                yield None
                continue
            chunk = os.read(pipe.fileno(), 65536)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b'\n')
            yield from (line.decode(errors='replace') for line in lines)
    if buffer:
        yield buffer.decode(errors='replace')


def remedy(lines: list[str], log: Path) -> str:
    """Returns what mends a failed command: disk space where it ran out of that."""
    if not any('No space left on device' in line for line in lines):
        return f'the whole output is in {log}'
    folders = dict.fromkeys([str(log.parent), tempfile.gettempdir(), str(Path.home() / '.cache')])
    left = ', '.join(f'{free_gb(Path(folder)):.1f} GB in {folder}' for folder in folders)
    return f'make room on the disk ({left} are free; {SPACE})'


def excerpt(lines: list[str]) -> str:
    """Returns the first errors and the end of a failed command's output, cut to 300 columns."""
    errors = [line for line in lines[:-15] if re.search(r'\berror\b', line, re.IGNORECASE)]
    return '\n'.join(f'    {line[:300]}' for line in [*errors[:5], *lines[-15:]])
