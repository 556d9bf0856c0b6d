"""Several processes: what wraps the model, and how they find each other without a GPU."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

import torch
import torch.distributed as distributed
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.registry import MODEL_WRAPPERS, MODELS
from mmengine.utils.dl_utils import set_multi_processing

from ..training import GradAugDistributedDataParallel, GradAugMixin
from ..type_names import class_of, type_name
from .loading import emptied

WRAPPER = GradAugDistributedDataParallel.__name__
LOCAL_RANKS = ('LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK')  # by launcher


def wrapper_options(cfg: Config, launcher: str) -> list[str]:
    """Options that make several processes train sub-networks too, and work on the CPU.

    Args:
        cfg: The run's config. What it says of the wrapper is kept.
        launcher: What starts the processes, as in ``--launcher``.

    Returns:
        Arguments of ``--cfg-options``.

    Raises:
        ValueError: If the configured wrapper would train the full network only.
    """
    model, wrapper = cfg.get('model') or {}, cfg.get('model_wrapper_cfg') or {}
    options: dict[str, Any] = {'type': WRAPPER}
    if not _is_gradaug(model.get('type')):
        if wrapper or get_device() != 'cpu' or launcher == 'none':
            return []
        # As mmengine's own, but for the GPU that it takes for granted.
        options = {'type': 'MMDistributedDataParallel', 'device_ids': None}
        options |= {'broadcast_buffers': False}
    elif 'type' in wrapper:
        _require_gradaug_wrapper(wrapper['type'], model.get('gradaug') or {})
        return []
    if 'find_unused_parameters' not in wrapper:  # mmengine reads its top-level key without one
        options |= {'find_unused_parameters': bool(cfg.get('find_unused_parameters', False))}
    words = [f'model_wrapper_cfg.{k}={v}' for k, v in options.items()]
    return ['--cfg-options', *emptied(cfg, 'model_wrapper_cfg'), *words]


def _is_gradaug(kind: Any) -> bool:
    """Whether a model, by name or class, trains sub-networks."""
    model = class_of(kind, MODELS)
    return model is not None and issubclass(model, GradAugMixin)


def is_main_process(launcher: str) -> bool:
    """Whether this is the first of a run's processes, which need not have joined yet."""
    name = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
    return os.environ.get(name.get(launcher, ''), '0') == '0'


def _require_gradaug_wrapper(kind: Any, gradaug: Mapping[str, Any]) -> None:
    """Raise if a model wrapper, by name or class, has a training step without sub-networks."""
    wrapper = class_of(kind, MODEL_WRAPPERS)
    if wrapper is None or gradaug.get('num_subnets') == 0:
        return  # mmengine names those that are not registered
    if issubclass(wrapper, GradAugDistributedDataParallel):
        return
    raise ValueError(
        f'model_wrapper_cfg.type={type_name(kind)!r} computes the plain loss and '
        f'would train without sub-networks, expected {WRAPPER!r} or a subclass: remove '
        'model_wrapper_cfg.type, or set gradaug.num_subnets=0 for plain training'
    )


def join_processes(cfg: Config, launcher: str) -> None:
    """Join the processes of a run on the CPU, as mmengine does those on GPUs.

    mmengine picks a GPU for each process first, which fails without one. With GPUs this only
    checks that there is one for this process.

    Args:
        cfg: The run's config: ``env_cfg.dist_cfg`` may give a ``timeout`` in seconds.
        launcher: What starts the processes, as in ``--launcher``.

    Raises:
        ValueError: If there are more processes than GPUs on this machine.
    """
    if launcher == 'none':
        return
    device = get_device()
    if device == 'cuda':
        _require_own_gpu()
    if device != 'cpu':
        return
    env_cfg = cfg.get('env_cfg') or {}
    set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
    with mock.patch.object(torch.cuda, 'set_device'):
        init_dist(launcher, **{**env_cfg.get('dist_cfg', {}), 'backend': 'gloo'})


def leave_processes() -> None:
    """Part from the other processes and end this one, at the end of a run that went well.

    Threads of torch may outlive even the group, and abort an interpreter that ends in the usual
    way: the launcher then takes a run that is complete for one that failed. What is registered
    for the end, such as W&B's last message, runs. After an error nothing is waited for, since the
    others may be gone. A process that was not joined with others goes on.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
        atexit._run_exitfuncs()
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


def _require_own_gpu() -> None:
    """Raise if this process comes after the last GPU of its machine."""
    given = [os.environ[name] for name in LOCAL_RANKS if name in os.environ]
    rank, gpus = int(given[0]) if given else 0, torch.cuda.device_count()
    if rank >= gpus:
        raise ValueError(
            f'process {rank} of this machine (counted from 0) has no GPU, there are {gpus}: start '
            f'at most {gpus} here, or look at CUDA_VISIBLE_DEVICES'
        )
