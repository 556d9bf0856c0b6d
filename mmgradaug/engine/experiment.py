"""An experiment: several methods, each trained with several seeds, in processes side by side."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..errors import ConfigError
from ..version import __version__
from .hooks.final_and_best import FILE

DONE, OUTPUT = 'done.txt', 'output.txt'
PAUSE = 0.5  # seconds between looks at the runs


@dataclass(frozen=True)
class Run:
    """One training of an experiment.

    Attributes:
        name: What it is, for people.
        config: Path of its config.
        options: Its ``--cfg-options``.
        work_dir: Its folder, which names its config, options and version by a hash.
    """

    name: str
    config: str
    options: tuple[str, ...]
    work_dir: Path

    @property
    def is_done(self) -> bool:
        """Return whether it is complete."""
        return (self.work_dir / DONE).is_file()

    @property
    def final(self) -> dict[str, float]:
        """Metrics of the final epoch."""
        return json.loads((self.work_dir / FILE).read_text())['final']

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def start(self, tool: Path, threads: int) -> subprocess.Popen[bytes]:
        """Start it, or resume it."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(tool), self.config, '--work-dir', str(self.work_dir)]
        command += ['--resume', '--cfg-options', *self.options]
        env = os.environ | {'OMP_NUM_THREADS': str(threads)}
        with open(self.work_dir / OUTPUT, 'ab') as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def finish(self, status: int) -> None:
        """Note that it is complete.

        Raises:
            ConfigError: If it ended with an error, which is told.
        """
        if status:
            output = self.work_dir / OUTPUT
            last_line = output.read_text(errors='replace').strip().rpartition('\n')[2]
            raise ConfigError(f'{self.name} ended with status {status}, see {output}: {last_line}')
        (self.work_dir / DONE).touch()


def plan_runs(
    work_dir: Path, methods: Mapping[str, str], seeds: int, options: Sequence[str] = ()
) -> dict[str, list[Run]]:
    """Return the runs of each method, one per seed 0, 1, ...; of one seed all see the same labels.

    Args:
        work_dir: Folder of the runs' folders.
        methods: Path of each method's config, by its name.
        seeds: How many.
        options: ``--cfg-options`` of all runs.
    """
    texts = {name: Config.fromfile(config).pretty_text for name, config in methods.items()}

    def run(name: str, seed: int) -> Run:
        drawn = f'randomness.seed={seed}', f'train_dataloader.dataset.subset_seed={seed}'
        recipe = f'{texts[name]}{drawn}{options}{__version__}'.encode()
        stem = f'{name.lower().replace(" ", "_")}_seed{seed}'
        folder = work_dir / f'{stem}_{hashlib.sha256(recipe).hexdigest()[:8]}'
        return Run(f'{name} seed {seed}', methods[name], (*drawn, *options), folder)

    return {name: [run(name, seed) for seed in range(seeds)] for name in methods}


def train_runs(
    of_methods: dict[str, list[Run]], tool: Path, jobs: int, say: Callable[[str], None]
) -> None:
    """Train what is not complete, the last method first: give those that take longest last.

    Args:
        of_methods: Runs of each method.
        tool: Path of tools/pretrain.py.
        jobs: How many runs at a time; they share the processor's cores.
        say: Takes lines of progress.

    Raises:
        ConfigError: If a run fails. The others are stopped, and resumed when this is called again.
    """
    runs = [run for of_method in reversed(of_methods.values()) for run in of_method]
    waiting = [run for run in runs if not run.is_done]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    todo = f'{len(runs)} trainings, {len(waiting)} of them to do'
    say(f'{todo}, {jobs} at a time with {threads} threads')
    running: dict[Run, subprocess.Popen[bytes]] = {}
    started, total = time.monotonic(), len(waiting)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = run.start(tool, threads)
            time.sleep(PAUSE)
            for run, process in list(running.items()):
                if process.poll() is not None:
                    del running[run]
                    run.finish(process.returncode)
                    left = len(waiting) + len(running)
                    minutes = (time.monotonic() - started) / (total - left) * left / 60
                    say(f'{run.name} is done, {left} to go, about {minutes:.1f} minutes')
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
