"""While a tool builds a run: errors that name config keys, safe loading, warnings that are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..checkpoints.safe_loading import safe_loading
from .batch_contents import lacking
from .error_origin import is_ours, is_raised_in, show_hidden_causes
from .error_text import message_of
from .errors import InputError, ending, naming, taken_warnings
from .image_size import too_small

# What a runner does with a config's options before the first iteration, and which they are.
STEPS = {
    'build_model': 'model',
    'register_default_hooks': 'default_hooks',
    'register_custom_hooks': 'custom_hooks',
    'build_train_loop': 'train_cfg or train_dataloader',
    'build_val_loop': 'val_cfg, val_dataloader or val_evaluator',
    'build_test_loop': 'test_cfg, test_dataloader or test_evaluator',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'scale_lr': 'auto_scale_lr',
    '_init_model_weights': 'model (init_cfg)',
    'load_or_resume': 'load_from or resume',
}
BEFORE_LOOP = ('before_run', 'after_load_checkpoint')  # where hooks are called before a loop runs


class RepeatedWarningsHook(Hook):
    """Says warnings in a run's log, after the config and all parameters that mmengine writes there.

    Args:
        texts: The warnings.
    """

    priority = 'VERY_LOW'

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def before_train(self, runner: Any) -> None:
        """Say them when training starts."""
        for text in self.texts:
            runner.logger.warning(text)

    before_test = before_train


@contextmanager
def one_line_run(script: Path | None = None) -> Iterator[None]:
    """Around a tool that runs something: one line for what cannot go on, as far as that is known.

    That is what this package or the script refuses, and batches that do not suit the model. Other
    errors of a run keep their traceback.

    Args:
        script: The tool of mmdet's that runs.

    Raises:
        SystemExit: With ``error: ...`` in these cases.
    """
    try:
        yield
    except Exception as error:
        known = too_small(error) or lacking(error)
        refused = is_ours(error) or (script is not None and is_raised_in(error, script))
        if known is None and not refused:
            show_hidden_causes(error)
            raise
        raise ending(known or message_of(error), error, script) from error


@contextmanager
def building_runs() -> Iterator[None]:
    """Around a tool that builds a runner and runs it; over as soon as a loop starts.

    Until then, options that the runner, its hooks, loops, optimizer and schedules do not take
    raise :class:`InputError` with their key, and checkpoints are loaded as data only. Warnings of
    the checks before the run come again in its log. A loop, and whatever the user's code does in
    it, runs with mmengine as it is.
    """
    with ExitStack() as until_loop:
        until_loop.enter_context(safe_loading())
        patched: dict[str, Any] = {
            name: _naming_keys(getattr(Runner, name), keys) for name, keys in STEPS.items()
        }
        patched['build_train_loop'] = _having_batches(patched['build_train_loop'])
        patched['register_hook'] = _naming_hooks(Runner.register_hook)
        patched['call_hook'] = _ending_at_loop(Runner.call_hook, until_loop)
        patched['from_cfg'] = classmethod(_telling(Runner.from_cfg.__func__))  # type: ignore
        for name, value in patched.items():
            until_loop.enter_context(mock.patch.object(Runner, name, value))
        yield


def _naming_keys(step: Callable, keys: str = '') -> Callable:
    """A step that says which config keys a user's error is about."""

    @wraps(step)
    def named(*args: Any, **kwargs: Any) -> Any:
        with naming(keys):
            return step(*args, **kwargs)

    return named


def _naming_hooks(register: Callable) -> Callable:
    """A ``register_hook`` that says which of a config's hooks does not take its options."""

    @wraps(register)
    def named(runner: Runner, hook: Any, *args: Any, **kwargs: Any) -> None:
        hooks = {
            f'default_hooks.{k}': h for k, h in (runner.cfg.get('default_hooks') or {}).items()
        }
        listed = enumerate(runner.cfg.get('custom_hooks') or ())
        hooks |= {f'custom_hooks.{index}': h for index, h in listed}
        places = [key for key, h in hooks.items() if isinstance(h, Mapping) and h == hook]
        with naming(places[0]) if places else nullcontext():
            register(runner, hook, *args, **kwargs)

    return named


def _having_batches(build: Callable) -> Callable:
    """A ``build_train_loop`` that refuses a loop without a batch, at which schedules stumble."""

    @wraps(build)
    def checked(*args: Any, **kwargs: Any) -> Any:
        loop = build(*args, **kwargs)
        loader = loop.dataloader
        if isinstance(loop, EpochBasedTrainLoop) and len(loader) == 0 < len(loader.dataset):
            raise InputError(
                f'train_dataloader.batch_size={loader.batch_size} and drop_last=True leave no '
                f'batch of a data set of {len(loader.dataset)} images: set a smaller batch_size or '
                'drop_last=False'
            )
        return loop

    return checked


def _ending_at_loop(call_hook: Callable, until_loop: ExitStack) -> Callable:
    """A ``call_hook`` by which hooks may refuse to start, and which closes a stack when it starts.

    The first points at which a loop calls hooks differ by the loop, those before it do not.
    """

    @wraps(call_hook)
    def watched(runner: Runner, fn_name: str, **kwargs: Any) -> None:
        if fn_name not in BEFORE_LOOP:
            until_loop.close()
        with naming() if fn_name in BEFORE_LOOP else nullcontext():
            call_hook(runner, fn_name, **kwargs)

    return watched


def _telling(from_cfg: Callable) -> Callable:
    """A ``from_cfg`` whose runner repeats the warnings."""
    build = _naming_keys(from_cfg)

    @wraps(from_cfg)
    def telling(*args: Any, **kwargs: Any) -> Runner:
        runner = build(*args, **kwargs)
        texts = taken_warnings()
        if texts:
            runner.register_hook(RepeatedWarningsHook(texts))
        return runner

    return telling
