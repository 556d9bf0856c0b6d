"""Training runs in processes of their own, which die by SIGKILL where a test wants them to."""

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import EpochBasedTrainLoop

import tests.conftest  # noqa: F401  for the processes, too
from mmgradaug.engine import atomic
from mmgradaug.engine.train import train as train_detector
from tests.networks import ROOT
from tests.shapes_run import CONFIG
from tools.train import parse_args

NO_VALIDATION = ['val_dataloader=None', 'val_evaluator=None', 'val_cfg=None']
# A server that has imported everything once: its children start in no time, and no thread of
# the test process is copied into them.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['tests.engine.killing'])


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(AmpOptimWrapper):
    """mmengine's mixed precision on the CPU; ``casts=False`` for mmcv's operators, which cannot."""

    def __init__(self, casts: bool = True, **kwargs: Any) -> None:
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=256.0, growth_interval=2)
        self._scale_update_param = None
        self.cast_dtype = torch.bfloat16
        self.casts = casts

    def optim_context(self, model: Any) -> Any:
        cls = AmpOptimWrapper if self.casts else OptimWrapper
        return cls.optim_context(self, model)


@dataclass(frozen=True)
class Kill:
    """Dies before an iteration, or half-way through a ``write``; counted from 0."""

    iteration: int | None = None
    write: int | None = None


def train(work_dir: Path, options: list[str], *args: str, kill: Kill | None = None) -> bool:
    """Run tools/train.py in a process of its own, to its end or a kill; returns whether killed."""
    argv = [str(CONFIG), '--work-dir', str(work_dir), *args, *options, *NO_VALIDATION]
    log = Path(f'{work_dir}.log')
    process = CONTEXT.Process(target=_train, args=(argv, kill, log))
    process.start()
    process.join()
    assert process.exitcode == 0 or (kill and process.exitcode == -9), log.read_text()
    return process.exitcode != 0


def checkpoint(work_dir: Path, name: str) -> dict[str, Any]:
    """Read a checkpoint without what differs from run to run: times and names."""
    loaded = torch.load(work_dir / name, weights_only=False)
    kept = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    return {key: loaded[key] for key in kept if key in loaded}


def differences(one: Any, other: Any, path: str = '') -> list[str]:
    """Where two nested structures are not the same, bit by bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, (list, tuple)) and type(one) is type(other) and len(one) == len(other):
        pairs = [(index, a, b) for index, (a, b) in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) and one.dtype == other.dtype else [path]
    else:
        return [] if one == other else [path]
    return [place for key, a, b in pairs for place in differences(a, b, f'{path}/{key}')]


def _train(argv: list[str], kill: Kill | None, log: Path) -> None:
    """In the child: arrange its death, then train."""
    with log.open('w') as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    os.chdir(ROOT)
    if kill is not None:
        _die_in_iteration(kill)
        writes = itertools.count()
        atomic.open = half_open(lambda _: next(writes) == kill.write, _die)  # type: ignore
    train_detector(parse_args(argv))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_iteration(kill: Kill) -> None:
    run_iter = EpochBasedTrainLoop.run_iter

    def run_or_die(self: Any, *args: Any) -> None:
        if self._iter == kill.iteration:
            _die()
        run_iter(self, *args)

    EpochBasedTrainLoop.run_iter = run_or_die  # type: ignore


def half_open(chosen: Callable[[Path], bool], then: Callable[[], None]) -> Callable:
    """An ``open`` for atomic.py: of a chosen file half is written, and ``then`` is called."""

    def opened(path: Path, mode: str) -> Any:
        file: Any = open(path, mode)  # noqa: SIM115  the caller closes it
        if chosen(path):
            write = file.write

            def half(data: bytes) -> None:
                write(data[: len(data) // 2])
                file.flush()
                then()

            file.write = half
        return file

    return opened
