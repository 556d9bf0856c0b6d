"""Checkpoints that no crash and no full disk can take away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from ...errors import ConfigError
from ..atomic import INCOMPLETE, write_atomically
from ..checkpoint_loading import is_damaged
from ..cli import warn

POINTER = 'last_checkpoint'  # mmengine's name of the file that names the newest one
ATOMIC = 'mmgradaug_atomic'


@register_backend(ATOMIC, force=True)
class AtomicBackend(LocalBackend):
    """Local files, which get their name once they are whole; those to remove are only noted."""

    def __init__(self) -> None:
        self.late: list[Any] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; see :func:`write_atomically`."""
        write_atomically(obj, filepath)

    def remove(self, filepath: str | Path) -> None:
        """Note a file that is to be removed later."""
        self.late.append(filepath)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook``, with its options, that always leaves a complete checkpoint.

    A checkpoint gets its name once all of it is on the disk; then those that ``max_keep_ckpts``
    or a better one make superfluous go. So the disk has to hold one more than is kept. A resume
    without a name takes the newest one that is whole.

    Checkpoints on remote storage, which replaces objects as a whole, are mmengine's work.
    """

    file_backend: Any

    def before_run(self, runner: Any) -> None:
        """Make ``last_checkpoint``, which mmengine reads next, name a complete checkpoint.

        Raises:
            ConfigError: If a run is to be resumed and none of its checkpoints is complete.
        """
        pointer = Path(runner.work_dir, POINTER)
        named = pointer.read_text().strip() if pointer.is_file() else ''
        remote = '://' in f'{named}{self.out_dir}'
        if not runner._resume or runner._load_from is not None or remote:
            return
        found = [*filter(None, [named]), *map(str, self._newest_first(runner))]
        if not found and is_main_process():
            notes = Path(runner.work_dir).parent.glob(f'*/{POINTER}')
            near = [str(n.parent) for n in sorted(notes, key=lambda n: -n.stat().st_mtime)[:3]]
            there = f'; checkpoints are in {", ".join(near)} (--work-dir)' if near else ''
            warn(f'nothing to resume in {runner.work_dir}: training starts anew{there}')
        complete = next((path for path in found if not is_damaged(path)), None)
        if found and complete is None:
            raise ConfigError(
                f'no complete checkpoint to resume from, {", ".join(found[:3])} missing '
                f'or damaged: copy a whole one there, or remove them and {pointer} to start anew'
            )
        if complete and complete != named and is_main_process():
            runner.logger.warning(
                f'{pointer} names {named or "nothing"!r}, which is not a complete checkpoint: '
                f'resuming from the newest that is, {complete}'
            )
            write_atomically(complete.encode(), pointer)
        barrier()

    def before_train(self, runner: Any) -> None:
        """Prepare the folder; leftovers of killed writes go."""
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend:
            self.backend_args = {'backend': ATOMIC}
            self.file_backend = AtomicBackend()
            if is_main_process():
                with self._superseding():
                    Path(self.out_dir).mkdir(parents=True, exist_ok=True)
                    for folder in (self.out_dir, runner.work_dir):
                        for path in Path(folder).glob(f'*{INCOMPLETE}'):
                            path.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        with self._superseding():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        with self._superseding():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _superseding(self) -> Iterator[None]:
        """Remove superseded checkpoints at the end; mmengine does before the new one is written."""
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f'cannot write a checkpoint to {self.out_dir}: {error}. Those before are as they '
                'were: make space (one more than max_keep_ckpts has to fit), then --resume'
            ) from error
        best = getattr(self, 'best_ckpt_path_dict', {None: getattr(self, 'best_ckpt_path', None)})
        late = getattr(self.file_backend, 'late', [])
        for path in {*late} - {*best.values()}:  # one that is validated again is both
            Path(path).unlink(missing_ok=True)
        late.clear()

    def _newest_first(self, runner: Any) -> list[Path]:
        """Return the checkpoints of a run, those of higher epochs or iterations before others."""
        folder = Path(runner.work_dir)
        if self.out_dir is not None and str(self.out_dir) != str(runner.work_dir):
            folder = Path(self.out_dir, folder.name)  # mmengine's rule
        name = re.escape(self.filename_tmpl).replace(r'\{\}', r'(\d+)')
        found = [(re.fullmatch(name, path.name), path) for path in folder.glob('*')]
        return [path for _, path in sorted((int(m[1]), p) for m, p in found if m)][::-1]
