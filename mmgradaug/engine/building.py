"""While a tool builds and starts a run: one-line errors, and warnings where they are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.hooks import Hook
from mmengine.runner import Runner

from .batch_contents import lacking
from .errors import ending, is_ours, is_raised_in, message_of, one_line_errors, taken_warnings
from .image_size import too_small

# What a runner does with a config's options before the first iteration, and which they are.
STEPS = {
    'build_model': 'model',
    'register_hooks': 'default_hooks or custom_hooks',
    'build_train_loop': 'train_cfg or train_dataloader',
    'build_val_loop': 'val_cfg, val_dataloader or val_evaluator',
    'build_test_loop': 'test_cfg, test_dataloader or test_evaluator',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'scale_lr': 'auto_scale_lr',
    '_init_model_weights': 'model (init_cfg)',
    'load_or_resume': 'load_from or resume',
}


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
    """One line for what this package or a script refuses, and for unfit batches.

    Other errors of a run keep their traceback.
    """
    try:
        yield
    except Exception as error:
        known = too_small(error) or lacking(error)
        if not (known or is_ours(error) or (script and is_raised_in(error, script))):
            raise
        raise ending(known or message_of(error), error) from error


@contextmanager
def building_runs() -> Iterator[None]:
    """Around a tool that builds a runner and runs it.

    Options that the runner, its hooks, loops, optimizer and schedules do not take end the process
    with one line; what goes wrong in the run itself keeps its traceback. Warnings of the checks
    before the run come again in its log.
    """
    with ExitStack() as stack:
        patched: dict[str, Any] = {
            name: _in_one_line(getattr(Runner, name), keys) for name, keys in STEPS.items()
        }
        patched['call_hook'] = _before_run_in_one_line(Runner.call_hook)
        patched['from_cfg'] = classmethod(_built(Runner.from_cfg.__func__))  # type: ignore
        for name, value in patched.items():
            stack.enter_context(mock.patch.object(Runner, name, value))
        yield


def _in_one_line(step: Callable, keys: str = '') -> Callable:
    """A step that ends the process with one line on a user's error."""

    @wraps(step)
    def checked(*args: Any, **kwargs: Any) -> Any:
        with one_line_errors(keys):
            return step(*args, **kwargs)

    return checked


def _before_run_in_one_line(call_hook: Callable) -> Callable:
    """A ``call_hook`` that ends the process with one line where hooks refuse to start."""

    @wraps(call_hook)
    def checked(runner: Runner, fn_name: str, **kwargs: Any) -> None:
        with one_line_errors() if fn_name == 'before_run' else nullcontext():
            call_hook(runner, fn_name, **kwargs)

    return checked


def _built(from_cfg: Callable) -> Callable:
    """A ``from_cfg`` whose runner repeats the warnings."""
    build = _in_one_line(from_cfg)

    @wraps(from_cfg)
    def telling(*args: Any, **kwargs: Any) -> Runner:
        runner = build(*args, **kwargs)
        texts = taken_warnings()
        if texts:
            runner.register_hook(RepeatedWarningsHook(texts))
        return runner

    return telling
