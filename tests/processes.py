"""Groups of processes on this machine for tests: checks run inside, numbers come back."""

import datetime
import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

Check = Callable[[int, int], Any]
SECONDS = 120  # after which a group that waits for one of its own gives up


def run_group(world: int, checks: Sequence[Check], folder: Path) -> list[dict[str, Any]]:
    """Run checks ``(rank, world)`` in a group of processes; returns what each found, by name.

    They are forked from a server that has imported the checks' modules: mmdet is imported once in a
    session. A check that raised has its traceback, and those after it are missing.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(sorted({check.__module__ for check in checks}))
    processes = [
        context.Process(target=_run, args=(rank, world, list(checks), str(folder)))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(3 * SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(world)]


def _run(rank: int, world: int, checks: list[Check], folder: str) -> None:
    """One process of a group."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=SECONDS),
    )
    results: dict[str, Any] = {}
    for check in checks:
        try:
            results[check.__name__] = check(rank, world)
        except BaseException:
            results[check.__name__] = traceback.format_exc()
            break
    torch.save(results, f'{folder}/{rank}.pt')
    if any(isinstance(result, str) for result in results.values()):
        os._exit(1)  # the others see at once that this one is gone
    dist.destroy_process_group()
