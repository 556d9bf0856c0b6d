"""Several trainings at a time, each a process of its own, with progress and time left."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from ..version import __version__
from .atomic import write_atomically
from .hooks.final_and_best import FILE

DONE = 'done.json'  # in the folder of a run that is complete: what it was
OUTPUT = 'output.txt'
PAUSE = 0.5  # seconds between looks at the runs


class RunFailed(RuntimeError):
    """A training ended with an error."""


@dataclass(frozen=True)
class SeedRun:
    """One training of several.

    Attributes:
        name: What it is, for people.
        config: Path of its config.
        options: ``--cfg-options`` of it.
        work_dir: Its folder.
        work: How much work it is, in units that the runs share.
    """

    name: str
    config: str
    options: tuple[str, ...]
    work_dir: Path
    work: float = 1.0

    @cached_property
    def recipe(self) -> str:
        """A number that changes with the config, the options and the version of this package."""
        text = f'{Config.fromfile(self.config).pretty_text}{self.options}{__version__}'
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_done(self) -> bool:
        """Whether it is complete, with today's recipe."""
        path = self.work_dir / DONE
        return path.is_file() and json.loads(path.read_text())['recipe'] == self.recipe

    @property
    def log(self) -> Path | None:
        """The newest log of scalars, where there is one."""
        logs = sorted(self.work_dir.glob('*/vis_data/scalars.json'))
        return logs[-1] if logs else None

    @property
    def final(self) -> dict[str, float]:
        """Metrics of the final epoch."""
        return json.loads((self.work_dir / FILE).read_text())['final']

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def prepare(self) -> None:
        """Make its folder; what another recipe left there goes."""
        mark = self.work_dir / 'recipe.json'
        text = json.dumps({'recipe': self.recipe})
        if self.work_dir.is_dir() and not (mark.is_file() and mark.read_text() == text):
            shutil.rmtree(self.work_dir)
        write_atomically(text.encode(), mark)

    def start(self, tool: Path, threads: int) -> subprocess.Popen[bytes]:
        """Start it, or go on with it where it was stopped."""
        command = [sys.executable, str(tool), self.config, '--work-dir', str(self.work_dir)]
        command += ['--resume', '--cfg-options', *self.options]
        paths = [str(tool.parents[1]), *filter(None, [os.environ.get('PYTHONPATH')])]
        env = os.environ | {'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': os.pathsep.join(paths)}
        with open(self.work_dir / OUTPUT, 'ab') as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def finish(self, status: int) -> None:
        """Note that it is complete.

        Raises:
            RunFailed: If it ended with an error; the message has its last lines.
        """
        output = self.work_dir / OUTPUT
        if status:
            lines = output.read_text(errors='replace').strip().splitlines()
            errors = [line for line in lines if line.startswith('error: ')]
            raise RunFailed(
                f'{self.name} ended with exit status {status}, see {output}:\n  '
                + '\n  '.join(errors[-1:] or lines[-3:])
            )
        write_atomically(json.dumps({'recipe': self.recipe}).encode(), self.work_dir / DONE)

    def share(self) -> float:
        """Share of its epochs that are done, by its log."""
        return 1.0 if self.is_done else last_epoch(self.log) / self._epochs

    @cached_property
    def _epochs(self) -> int:
        """How many epochs it takes."""
        return Config.fromfile(self.config).train_cfg.max_epochs


def last_epoch(log: Path | None) -> int:
    """The last epoch that a log of scalars tells of; 0 where there is none.

    Reads the last whole lines of a file that may be being written.
    """
    if log is None:
        return 0
    with open(log, 'rb') as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
        lines = file.read().decode(errors='replace').split('\n')[:-1]
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if 'epoch' in entry:
            return int(entry['epoch'])
    return 0


def run_all(
    runs: Sequence[SeedRun],
    tool: Path,
    at_a_time: int,
    threads: int,
    say: Callable[[str], None],
    every: float = 15.0,
) -> None:
    """Train all runs that are not complete.

    Args:
        runs: They are started in this order.
        tool: Path of tools/pretrain.py.
        at_a_time: How many run at a time.
        threads: Of each.
        say: Takes lines of progress.
        every: Seconds between such lines.

    Raises:
        RunFailed: If one fails; the others are stopped then, and go on when they are started again.
    """
    waiting = [run for run in runs if not run.is_done]
    progress = _Progress(runs, say, every)
    running: dict[SeedRun, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                run = waiting.pop(0)
                run.prepare()
                running[run] = run.start(tool, threads)
            time.sleep(PAUSE)
            for run, process in list(running.items()):
                if process.poll() is not None:
                    del running[run]
                    run.finish(process.returncode)
            progress.tell(list(running))
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


class _Progress:
    """Says from time to time how far the runs are and how long they will take."""

    def __init__(self, runs: Sequence[SeedRun], say: Callable[[str], None], every: float) -> None:
        self.runs, self.say, self.every = runs, say, every
        self.begin = self.told = time.monotonic()
        self.done_before = self._done()
        self.total = sum(run.work for run in runs)

    def _done(self) -> float:
        return sum(run.work * run.share() for run in self.runs)

    def tell(self, running: Sequence[SeedRun]) -> None:
        """Say it, unless that was just now."""
        now = time.monotonic()
        if now - self.told < self.every or not running:
            return
        self.told, done = now, self._done()
        active = ', '.join(f'{run.name} {run.share():.0%}' for run in running)
        complete = sum(run.is_done for run in self.runs)
        left = time_left(now - self.begin, done - self.done_before, self.total - done)
        self.say(f'{complete} of {len(self.runs)} runs done; {active}; {left}')


def time_left(seconds: float, done: float, todo: float) -> str:
    """What remains, as text, where ``done`` of the work took so many seconds."""
    if done <= 0:
        return 'time left not known yet'
    minutes, rest = divmod(round(seconds * todo / done), 60)
    return f'about {minutes}:{rest:02d} min left'
