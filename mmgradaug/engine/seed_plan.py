"""Which trainings compare several ways of training: each way with each of several seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .seed_runs import SeedRun, run_all

Plan = dict[str, list[SeedRun]]
"""The trainings of each way by its name, one a seed."""


def planned_runs(
    work_dir: Path,
    ways: Mapping[str, str],
    seeds: int,
    options: Sequence[str] = (),
    work: Mapping[str, float] | None = None,
) -> Plan:
    """The trainings of each way; those with the same seed see the same labels.

    Args:
        work_dir: Folder of their folders.
        ways: Path of each way's config, by its name.
        seeds: How many; they are 0, 1, ...
        options: ``--cfg-options`` of all trainings.
        work: How much work a training of each way is, in units that they share; 1 by default.
    """
    return {
        name: [
            SeedRun(
                name=f'{name} seed {seed}',
                config=config,
                options=(*seed_options(seed), *options),
                work_dir=work_dir / f'{name.lower().replace(" ", "_")}_seed{seed}',
                work=(work or {}).get(name, 1.0),
            )
            for seed in range(seeds)
        ]
        for name, config in ways.items()
    }


def seed_options(seed: int) -> tuple[str, str]:
    """What a seed draws: weights, batches and sub-networks, and the images that have labels."""
    return f'randomness.seed={seed}', f'train_dataloader.dataset.subset_seed={seed}'


def train_planned(plan: Plan, tool: Path, jobs: int, say: Callable[[str], None]) -> None:
    """Train what is not complete, the long trainings first.

    Args:
        plan: The trainings.
        tool: Path of tools/pretrain.py.
        jobs: How many run at a time; they share the processor's cores.
        say: Takes lines of progress.

    Raises:
        RunFailed: If one fails; what the others did is kept.
    """
    ordered = sorted((run for runs in plan.values() for run in runs), key=lambda run: -run.work)
    todo = sum(not run.is_done for run in ordered)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    say(f'{len(ordered)} trainings, {todo} of them to do, {jobs} at a time with {threads} threads')
    run_all(ordered, tool, jobs, threads, say)
