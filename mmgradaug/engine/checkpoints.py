"""Checkpoints that no crash and no full disk can take away."""

from __future__ import annotations

import errno
import inspect
import os.path as osp
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from ..checkpoints.safe_loading import safe_loading
from .atomic import ATOMIC_BACKEND, remove_incomplete, write_atomically
from .out_dir import make_out_dir
from .resumable import POINTER, repair_pointer, require_complete

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook``, with its options, that always leaves a complete checkpoint.

    A checkpoint gets its name once all of it is on the disk; then ``last_checkpoint`` names it;
    then those that ``max_keep_ckpts`` or a better one make superfluous go. So the disk has to
    hold one more than is kept.

    Where a checkpoint cannot be written, a full disk for instance, the ones before stay,
    training goes on with an error in the log, and the next is tried when it is due: somebody
    may make space by then. If the last one of the run cannot be written, the run ends with an
    error. A resume from a file that is not whole takes the newest that is.

    Checkpoints on remote storage are written as mmengine does, since its backends replace
    objects as a whole.
    """

    file_backend: Any
    keep_ckpt_ids: deque
    last_ckpt: Any
    _failure: OSError | None = None

    def before_run(self, runner: Any) -> None:
        """See that a resume finds a complete checkpoint; mmengine looks for it after this.

        Raises:
            ValueError: If none is complete, the one that the user named is not, or an option of
                this hook is unknown.
        """
        self._require_known_options(runner)
        if runner._resume:
            folder = self._folder(runner)
            if runner._load_from is not None:
                require_complete(runner._load_from, folder, self.filename_tmpl)
            elif folder is not None:
                repair_pointer(runner, folder, self.filename_tmpl)

    def _require_known_options(self, runner: Any) -> None:
        """Raise on options that mmengine would find unknown when it writes the first checkpoint."""
        taken = inspect.signature(runner.save_checkpoint).parameters
        unknown = [name for name in self.args if name not in taken]
        if unknown and all(p.kind is not p.VAR_KEYWORD for p in taken.values()):
            known = list(inspect.signature(CheckpointHook.__init__).parameters)[1:-1]
            raise ValueError(
                f'default_hooks.checkpoint has unknown options {", ".join(unknown)}, expected some '
                f'of {", ".join(known)}: correct or remove them'
            )

    def before_train(self, runner: Any) -> None:
        """Prepare the folder; leftovers of killed writes go.

        Raises:
            OSError: If ``out_dir`` is a local folder that cannot be made or written to.
        """
        super().before_train(runner)
        if self.file_client_args is None and type(self.file_backend) is LocalBackend:
            if is_main_process() and self.out_dir != runner.work_dir:  # that one is there
                make_out_dir('default_hooks.checkpoint.out_dir', Path(self.out_dir), 'checkpoints')
            self.backend_args = {'backend': ATOMIC_BACKEND}
            if is_main_process():
                remove_incomplete(self.out_dir)
                remove_incomplete(runner.work_dir)

    def after_train(self, runner: Any) -> None:
        """Publish the result, if there is one.

        Raises:
            OSError: If the last checkpoint of the run could not be written.
        """
        if self._failure is not None:
            raise OSError(
                f'training is done, but its last checkpoint is not written: {self._failure}. The '
                f'newest of this process is {self.last_ckpt}: {_remedy(self._failure)}, then '
                'resume: iterations since then will be the same'
            ) from self._failure
        with safe_loading():  # it reads what it publishes, which the original mmengine cannot
            super().after_train(runner)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        """Write a checkpoint, then its name, then remove what is kept no longer."""
        kept = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
        ids = kept if step in kept[-1:] else [*kept, step]
        last, self.last_ckpt = self.last_ckpt, self._path(step)
        # With the one to be removed: should the run die before that, a resumed one does it.
        self._tell(runner, ids)
        try:
            runner.save_checkpoint(
                self.out_dir,
                self.filename_tmpl.format(step),
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_atomically(self.last_ckpt.encode(), osp.join(runner.work_dir, POINTER))
        except OSError as error:
            self._failure, self.last_ckpt = error, last
            self._tell(runner, kept)
            _log_failure(runner, self._path(step), error)
            return
        self._failure = None
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(ids, self.max_keep_ckpts)
            self._tell(runner, list(self.keep_ckpt_ids))
            for outdated in ids[: -self.max_keep_ckpts]:
                self._remove(self._path(outdated))

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        """Write the best checkpoint, if this is it, before the one it replaces goes."""
        if not self.save_best:
            return
        known = {k: v for k, v in runner.message_hub.runtime_info.items() if k.startswith('best_')}
        paths = self._best_paths()
        try:
            with self._removing_late():
                super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            self._forget_best(runner, known, paths)
            _log_failure(runner, 'the best checkpoint', error)

    def _tell(self, runner: Any, ids: list[int]) -> None:
        """Put what is saved into the message hub, which checkpoints hold."""
        if self.max_keep_ckpts > 0:
            runner.message_hub.update_info('keep_ckpt_ids', ids)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)

    def _path(self, step: int) -> str:
        """Path of a checkpoint."""
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _remove(self, path: str) -> None:
        """Remove a checkpoint, on the main process."""
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's are folders
            self.file_backend.rmtree(path)

    @contextmanager
    def _removing_late(self) -> Iterator[None]:
        """Remove files only at the end, and only if it is reached."""
        backend, late = self.file_backend, _LateRemovals(self.file_backend)
        self.file_backend = late
        try:
            yield
        finally:
            self.file_backend = backend
        for path in late.paths:
            if path not in self._best_paths().values():
                self._remove(path)

    def _best_paths(self) -> dict[str | None, str | None]:
        """Paths of the best checkpoints by metric; there is one metric, or several."""
        if hasattr(self, 'best_ckpt_path_dict'):
            return dict(self.best_ckpt_path_dict)
        return {None: self.best_ckpt_path}

    def _forget_best(self, runner: Any, known: dict, paths: dict) -> None:
        """Take back what was noted about a best checkpoint that is not there."""
        for key in [k for k in runner.message_hub.runtime_info if k.startswith('best_')]:
            runner.message_hub.pop_info(key)
        runner.message_hub.update_info_dict(known)
        if None in paths:
            self.best_ckpt_path = paths[None]
        else:
            self.best_ckpt_path_dict = paths

    def _folder(self, runner: Any) -> Path | None:
        """Where checkpoints are; None where it is no local folder."""
        folder = str(runner.work_dir)
        if self.out_dir is not None and str(self.out_dir) != folder:  # mmengine's rule
            folder = osp.join(str(self.out_dir), osp.basename(folder.rstrip(osp.sep)))
        return None if '://' in folder else Path(folder)


class _LateRemovals:
    """A file backend that only notes what it was asked to remove."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.paths: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.paths.append(path)

    rmtree = remove


def _log_failure(runner: Any, what: str, error: OSError) -> None:
    """Say that a checkpoint could not be written, and what that means."""
    runner.logger.error(
        f'could not write {what}: {error}. Earlier checkpoints are as they were, training goes '
        f'on and the next one is tried when it is due: {_remedy(error)}'
    )


def _remedy(error: OSError) -> str:
    """What makes the next checkpoint one that can be written."""
    if error.errno in DISK_FULL:
        return 'make space on the disk, where one checkpoint more than max_keep_ckpts has to fit'
    return 'see to it that its folder can be written to'
