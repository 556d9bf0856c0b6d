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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from mmengine.config import Config

from ..engine.hooks.final_and_best import FILE
from ..engine.hooks.versions import versions
from ..engine.run_log import Scalars, read_entries
from ..errors import ConfigError
from ..version import __version__
from .rows import Row

DONE, OUTPUT = 'done.txt', 'output.txt'
PAUSE, TELL = 0.5, 60.0  # seconds between looks at the runs, and between lines of progress


@dataclass(frozen=True)
class Run:
    """A row with one seed: its training, and the command that follows if the row has one."""

    row: Row
    seed: int
    options: tuple[str, ...]  # further --cfg-options, the user's
    gpus: int  # processes of its training, one on each GPU
    tool: str  # that trains it: pretrain or train
    work_dir: Path  # of its training, which rows of the same config, options and version share
    hash: str  # of config, options, seed, GPUs, version and the command that follows
    needs: Run | None = None  # has to be complete before

    def __str__(self) -> str:
        return f'{self.row.id} seed {self.seed}'

    @property
    def out(self) -> Path:
        """Folder of its result: of the command that follows, or of the training."""
        name = f'{self.row.id.replace("/", "_")}_{self.hash}'
        return self.work_dir / (name if self.row.evaluation else '')

    @property
    def todo(self) -> Path | None:
        """Folder of what is to be done next; None if it is complete."""
        steps = [self.work_dir, self.out] if self.row.trains else [self.out]
        return next((folder for folder in steps if not (folder / DONE).is_file()), None)

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def start(self, folder: Path, tools: Path, threads: int, place: int) -> subprocess.Popen[bytes]:
        """Start, or resume, what is to be done in a folder, on the GPUs of its place among others.

        Raises:
            ConfigError: If another process does so now.
        """
        folder.mkdir(parents=True, exist_ok=True)
        env = os.environ | {'OMP_NUM_THREADS': str(threads), 'PYTHON': sys.executable}
        if count := torch.cuda.device_count():
            devices = env.get('CUDA_VISIBLE_DEVICES') or ','.join(map(str, range(count)))
            own = devices.split(',')[place * self.gpus : (place + 1) * self.gpus]
            port = int(env.get('PORT') or 29500) + place
            env |= {'CUDA_VISIBLE_DEVICES': ','.join(own), 'PORT': str(port)}
        if folder == self.work_dir:
            command = self._training(tools)
        else:
            names = {'config': self.row.config, 'out': folder}
            if self.row.trains:  # which wrote its config with all options
                config = self.work_dir / Path(self.row.config).name
                names |= {'config': config, 'checkpoint': self.checkpoint}
            words = shlex.split(self.row.evaluation.format(**names))
            command = [sys.executable, str(tools.parent / words[0]), *words[1:]]
        with open(folder / OUTPUT, 'ab') as output:
            try:  # what is started holds the lock for as long as it lives
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                text = f'{folder} is in use by another process: wait for it, or end it'
                raise ConfigError(text) from None
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def _training(self, tools: Path) -> list[str]:
        needs = self.needs.checkpoint if self.needs else ''
        options = [*self.row.options_of(self.seed, needs), *self.options]
        if not self.row.evaluation:
            hook = 'default_hooks.final_and_best'  # which detectors' configs lack
            metric = self.row.metrics.split()[0]
            options += [f'{hook}.type=FinalAndBestHook', f'{hook}.metric={metric}']
        script = [sys.executable, str(tools / f'{self.tool}.py'), self.row.config]
        if self.gpus > 1:
            script = ['bash', str(tools / f'dist_{self.tool}.sh'), self.row.config, str(self.gpus)]
        rate = Config.fromfile(self.row.config).get('auto_scale_lr') or {}
        scaled = ['--auto-scale-lr'] * ('base_batch_size' in rate)  # to the GPUs that there are
        words = ['--work-dir', str(self.work_dir), *scaled, '--resume', '--cfg-options', *options]
        return [*script, *words]

    def finish(self, folder: Path, status: int) -> str:
        """Note that what was done in a folder is complete; return the error if it is not."""
        if status == 0:
            (folder / DONE).touch()
            return ''
        output = folder / OUTPUT
        last = output.read_text(errors='replace').strip().rpartition('\n')[2]
        return f'{self} ended with status {status}, see {output}: {last}'

    def record(self) -> dict[str, Any]:
        """Return what is kept of it when it is complete."""
        found = next(self.out.glob('*.json' if self.row.evaluation else FILE), None)
        told = json.loads(found.read_text()) if found else {}
        final = told if self.row.evaluation else told.get('final')
        logs = list(self.work_dir.glob('*/vis_data/scalars.json'))  # one of every start
        seconds = sum(p.stat().st_mtime - p.with_name('config.py').stat().st_mtime for p in logs)
        steps = [entry for log in logs for entry in Scalars.of(read_entries(log)).train]
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return {
            'id': self.row.id,
            'seed': self.seed,
            'options': of_recipe(self.options),
            'gpus': self.gpus,
            'hash': self.hash,
            'final': {name: value_at(final, name) for name in self.row.metrics.split()},
            'seconds': round(seconds),
            'step_seconds': median(entry['time'] for entry in steps) if steps else None,
            'machine': f'{platform.machine()}, {gpu or f"{os.cpu_count()} CPUs"}',
            'versions': versions(),
            'work_dir': str(self.work_dir),
        }

    def write_record(self, path: Path) -> None:
        """Append its record to a file of JSON lines, unless it is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'a+') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = [(record['id'], record['hash']) for record in map(json.loads, file)]
            if (self.row.id, self.hash) not in known:
                file.write(json.dumps(self.record()) + '\n')


def value_at(values: Any, path: str) -> float | None:
    """Return what is at a path of keys and places with dots between; None if nothing is."""
    for key in path.split('.'):
        values = values[int(key)] if isinstance(values, list) else (values or {}).get(key)
    return values


def of_recipe(options: Sequence[str]) -> list[str]:
    """Return the options that change a run; where its data are does not."""
    return [o for o in options if not o.partition('=')[0].endswith(('.data_root', '.download'))]


def plan_runs(
    row: Row,
    seeds: Iterable[int],
    work_dir: Path,
    options: Sequence[str] = (),
    gpus: int = 1,
    rows: Mapping[str, Row] = {},
) -> list[Run]:
    """Return the runs of a row, one for each seed, their folders in ``work_dir``.

    ``rows`` are those that others need.
    """
    cfg, name = Config.fromfile(row.config), Path(row.config).stem
    tool = 'pretrain' if 'Classifier' in cfg.model.type else 'train'
    runs = []
    for seed in seeds:
        before = plan_runs(rows[row.needs], [seed], work_dir) if row.needs else []
        recipe = f'{cfg.to_dict()}{row.options_of(seed)}{of_recipe(options)}{gpus}{__version__}'
        recipe += ''.join(run.hash for run in before)
        base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
        if base and base != gpus * cfg.train_dataloader.batch_size:
            recipe += ' --auto-scale-lr'
        texts = recipe, f'{recipe}{row.evaluation}'
        own, whole = (hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)
        folder = work_dir / f'{name}_seed{seed}_{own}'
        runs.append(Run(row, seed, tuple(options), gpus, tool, folder, whole, *before))
    return runs


def run_all(runs: Sequence[Run], tools: Path, records: Path, jobs: int = 1) -> None:
    """Complete runs, in their order, and append a record of each to a file of JSON lines.

    ``tools`` is the tools' folder. Runs of ``jobs`` at a time share the processor's cores; each has
    GPUs of its own, and where those are few, fewer run.

    Raises:
        ConfigError: If a run fails, when the others are complete, or if there are too few GPUs.
    """
    waiting = list(runs)
    gpus = max((run.gpus for run in runs), default=1)
    there = torch.cuda.device_count() or gpus * jobs  # on the CPU all run
    if jobs < 1 or not 1 <= gpus <= there:
        raise ConfigError(f'--jobs {jobs} --gpus {gpus}, expected 1 or more, GPUs that there are')
    jobs = min(jobs, there // gpus)
    threads = max(1, len(os.sched_getaffinity(0)) // (jobs * gpus))
    todo = sum(bool(run.todo) for run in runs)
    print(f'{len(runs)} runs, {todo} to do, {jobs} at a time with {threads} threads', flush=True)
    running: dict[int, tuple[Run, subprocess.Popen[bytes], Path, float]] = {}  # by place
    took: list[float] = []  # seconds of what is complete
    errors: list[str] = []
    told = time.monotonic()
    try:
        while waiting or running:
            for run in list(waiting):
                busy = {other.work_dir for other, *_ in running.values()}
                place = next(place for place in range(jobs + 1) if place not in running)
                if run.work_dir in busy or (run.todo and place == jobs):
                    continue
                waiting.remove(run)
                if not (folder := run.todo):  # another row's run may have completed it
                    run.write_record(records)
                    continue
                try:
                    process = run.start(folder, tools, threads, place)
                    running[place] = run, process, folder, time.monotonic()
                except ConfigError as in_use:
                    errors.append(str(in_use))
            time.sleep(PAUSE)
            ended = [p for p, (_, process, *_) in running.items() if process.poll() is not None]
            for place in ended:
                run, process, folder, begun = running.pop(place)
                took.append(time.monotonic() - begun)
                if error := run.finish(folder, process.returncode):
                    errors.append(error)
                else:
                    waiting.insert(0, run)  # for what follows, or its record
                if error or not run.todo:
                    print(error or f'{run} is done, {took[-1]:.0f} s', flush=True)
            if ended or time.monotonic() - told > TELL:
                told = time.monotonic()
                ages = {folder: told - begun for _, _, folder, begun in running.values()}
                print(progress(ages, sum(bool(r.todo) for r in waiting), took, jobs), flush=True)
    finally:
        for _, process, *_ in running.values():
            process.terminate()
        for _, process, *_ in running.values():
            process.wait()
    if errors:
        raise ConfigError(f'{len(errors)} of {len(runs)} runs failed: {errors[0]}')


def progress(ages: Mapping[Path, float], waiting: int, took: Sequence[float], jobs: int) -> str:
    """Return how many run and wait, and the time left by their own ETA and by how long others took.

    ``ages`` are seconds since those began, by the folders of their outputs.
    """
    left = {}
    for folder in ages:
        text = (folder / OUTPUT).read_bytes()[-20_000:].decode(errors='ignore')
        if found := re.findall(r'eta: (?:(\d+) days?, )?(\d+):(\d+):(\d+)', text):
            days, hours, minutes, seconds = (int(part or 0) for part in found[-1])
            left[folder] = 86400 * days + 3600 * hours + 60 * minutes + seconds
    known = [*took, *(ages[folder] + eta for folder, eta in left.items())]
    text = f'{len(ages)} running, {waiting} waiting'
    if not known or not ages:
        return text
    rest = sum(left.get(folder, fmean(known)) for folder in ages) + fmean(known) * waiting
    return f'{text}, about {timedelta(seconds=round(rest / min(jobs, len(ages) + waiting)))} to go'
