"""Runs of rows with several seeds: in processes side by side, resumed where they were stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from ..classification import Classifier
from ..engine.hooks.final_and_best import FILE
from ..engine.hooks.versions import versions
from ..errors import ConfigError
from ..type_names import class_of
from ..version import __version__
from .rows import Row

DONE, OUTPUT = 'done.txt', 'output.txt'
PAUSE, TELL = 0.5, 60.0  # seconds between looks at the runs, and between lines of progress


@dataclass(frozen=True)
class Run:
    """A row with one seed."""

    row: Row
    seed: int
    options: tuple[str, ...]  # further --cfg-options, the user's
    tool: str  # that trains it: pretrain or train
    work_dir: Path  # of its training, which rows of the same config, options and version share

    @property
    def folder(self) -> Path | None:
        """Folder of what is to be done next, its training or what comes then; None if nothing."""
        then = self.work_dir / self.row.id.replace('/', '_')
        steps = [self.work_dir] * self.row.trains + [then] * bool(self.row.then)
        return next((folder for folder in steps if not (folder / DONE).is_file()), None)

    @property
    def final(self) -> dict[str, float]:
        """Metrics of the final epoch."""
        return json.loads((self.work_dir / FILE).read_text())['final']

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def start(self, tools: Path, threads: int, gpus: int) -> subprocess.Popen[bytes]:
        """Start what is to be done next, or resume it.

        Raises:
            ConfigError: If another process does so now.
        """
        folder = self.folder or self.work_dir
        folder.mkdir(parents=True, exist_ok=True)
        env = os.environ | {'OMP_NUM_THREADS': str(threads), 'PYTHON': sys.executable}
        with open(folder / OUTPUT, 'ab') as output:
            try:  # what is started holds the lock for as long as it lives
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f'{folder} is in use by another process: wait, or end it'
                ) from None
            command = self.command(folder, tools, gpus)
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def command(self, folder: Path, tools: Path, gpus: int) -> list[str]:
        """Return the command whose output goes to a folder."""
        if folder != self.work_dir:
            names = {'config': self.row.config, 'out': folder}
            if self.row.trains:  # which wrote its config with all options
                config = self.work_dir / Path(self.row.config).name
                names |= {'config': config, 'checkpoint': self.checkpoint}
            tool, *words = shlex.split(self.row.then.format(**names))
            return [sys.executable, str(tools.parent / tool), *words]
        options = [*self.row.options_of(self.seed), *self.options]
        if not self.row.then:
            hook = 'default_hooks.final_and_best'  # which detectors' configs lack
            metric = self.row.metrics.split()[0]
            options += [f'{hook}.type=FinalAndBestHook', f'{hook}.metric={metric}']
        script = [sys.executable, str(tools / f'{self.tool}.py'), self.row.config]
        if gpus > 1:
            script = ['bash', str(tools / f'dist_{self.tool}.sh'), self.row.config, str(gpus)]
        return [*script, '--work-dir', str(folder), '--resume', '--cfg-options', *options]

    def record(self) -> dict[str, Any]:
        """Return what is kept of it when it is complete."""
        names = self.row.metrics.split()
        if self.row.then:
            found = next(self.work_dir.glob(f'{self.row.id.replace("/", "_")}/*.json'), None)
            told = json.loads(found.read_text()) if found else {}
            values = {'final': {name: value_at(told, name) for name in names}}
        else:
            told = json.loads((self.work_dir / FILE).read_text())
            values = {part: {n: told[part].get(n) for n in names} for part in ('final', 'best')}
        logs = self.work_dir.glob('*/vis_data/scalars.json')  # one of every start, after a config
        seconds = sum(p.stat().st_mtime - p.with_name('config.py').stat().st_mtime for p in logs)
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return {
            'id': self.row.id,
            'seed': self.seed,
            'options': list(self.options),
            'hash': self.work_dir.name.rpartition('_')[2],
            **values,
            'seconds': round(seconds),
            'machine': f'{platform.machine()}, {gpu or f"{os.cpu_count()} CPUs"}',
            'versions': versions(),
            'work_dir': str(self.work_dir),
        }


def value_at(values: Any, path: str) -> float | None:
    """Return what is at a path of keys and places with dots between; None if nothing is."""
    for key in path.split('.'):
        values = values[int(key)] if isinstance(values, list) else (values or {}).get(key)
    return values


def plan_runs(row: Row, seeds: int, work_dir: Path, options: Sequence[str] = ()) -> list[Run]:
    """Return the runs of a row, one per seed 0, 1, ..., their folders in ``work_dir``."""
    cfg, name = Config.fromfile(row.config), Path(row.config).stem
    kind = class_of(cfg.model.type, MODELS)
    tool = 'pretrain' if kind and issubclass(kind, Classifier) else 'train'
    runs = []
    for seed in range(seeds):
        recipe = f'{cfg.to_dict()}{row.options_of(seed)}{[*options]}{__version__}'.encode()
        folder = work_dir / f'{name}_seed{seed}_{hashlib.sha256(recipe).hexdigest()[:8]}'
        runs.append(Run(row, seed, tuple(options), tool, folder))
    return runs


def write_record(run: Run, path: Path) -> None:
    """Append the record of a complete run to a file of JSON lines, unless it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        new, keys = run.record(), ('id', 'seed', 'hash')
        if all(any(old[key] != new[key] for key in keys) for old in map(json.loads, file)):
            file.write(json.dumps(new) + '\n')


def run_all(
    runs: Sequence[Run],
    tools: Path,
    records: Path,
    say: Callable[[str], None],
    jobs: int = 1,
    gpus: int = 1,
) -> None:
    """Do what is not complete of runs, in their order, and record each that is.

    Args:
        runs: The runs.
        tools: Folder of the tools.
        records: File of the records.
        say: Takes lines of progress.
        jobs: How many runs at a time; they share the processor's cores.
        gpus: Processes of each training, one on each GPU.

    Raises:
        ConfigError: If a run fails. The others are stopped, and resumed when this is called again.
    """
    waiting = [run for run in runs if run.folder]
    for run in runs:
        if not run.folder:  # it may have been stopped just before
            write_record(run, records)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    say(f'{len(runs)} runs, {len(waiting)} to do, {jobs} at a time with {threads} threads')
    running: dict[Run, tuple[subprocess.Popen[bytes], float]] = {}
    took: list[float] = []
    told = time.monotonic()
    try:
        while waiting or running:
            busy = [run.work_dir for run in running]
            for run in [run for run in waiting if run.work_dir not in busy][: jobs - len(running)]:
                if run.work_dir not in [other.work_dir for other in running]:
                    waiting.remove(run)
                    running[run] = run.start(tools, threads, gpus), time.monotonic()
            time.sleep(PAUSE)
            for run, (process, begun) in list(running.items()):
                if process.poll() is not None:
                    del running[run]
                    end_step(run, process.returncode)
                    took.append(time.monotonic() - begun)
                    if run.folder:
                        waiting.insert(0, run)
                    else:
                        write_record(run, records)
                        say(f'{run.row.id} seed {run.seed} is done')
                        told = 0
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                starts = {run: begun for run, (_, begun) in running.items()}
                say(progress(starts, len(waiting), took, jobs))
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.wait()


def end_step(run: Run, status: int) -> None:
    """Note that what was to be done next is complete.

    Raises:
        ConfigError: If it ended with an error, which is told.
    """
    folder = run.folder or run.work_dir
    if status:
        output = folder / OUTPUT
        last = output.read_text(errors='replace').strip().rpartition('\n')[2]
        name = f'{run.row.id} seed {run.seed}'
        raise ConfigError(f'{name} ended with status {status}, see {output}: {last}')
    (folder / DONE).touch()


def progress(begun: dict[Run, float], waiting: int, took: Sequence[float], jobs: int) -> str:
    """Return how far all is: what trainings say of themselves, and how long others took."""
    eta = r'eta: (?:(\d+) days?, )?(\d+):(\d+):(\d+)'
    left = {}
    for run in begun:
        text = (
            ((run.folder or run.work_dir) / OUTPUT).read_bytes()[-20_000:].decode(errors='ignore')
        )
        if found := re.findall(eta, text):
            days, hours, minutes, seconds = (int(part or 0) for part in found[-1])
            left[run] = 60 * (60 * (24 * days + hours) + minutes) + seconds
    known = [*took, *(time.monotonic() - begun[run] + eta for run, eta in left.items())]
    text = f'{len(begun)} running, {waiting} waiting'
    if known and begun:
        each = fmean(known)
        rest = sum(left.get(run, each) for run in begun) + each * waiting
        text += f', about {timedelta(seconds=round(rest / min(jobs, len(begun) + waiting)))} to go'
    return text
