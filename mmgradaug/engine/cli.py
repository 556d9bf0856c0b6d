"""What the tools share: configs, output folders, warnings and one-line errors."""

import inspect
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

from ..errors import ConfigError, suggestion
from ..training import GradAugMixin
from ..type_names import class_of

# Top-level keys that mmengine, mmdet and this package read, whether a config has them or not.
_KNOWN_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *['activation_checkpointing', 'check_annotations', 'compile', 'custom_imports', 'data_help'],
    *['efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'runner_type'],
    *['strategy', 'sync_bn', 'tta_model', 'tta_pipeline'],
}


def load_config(
    path: str | Path, options: Mapping[str, Any] | None = None, gradaug: bool = False
) -> Config:
    """Read a config file and merge ``--cfg-options``, values by dotted key, into it.

    Raises:
        ConfigError: If an option cannot be merged, or the first part of its key is unknown, so that
            it would have no effect, or with ``gradaug``, if the model trains no sub-networks.
    """
    cfg = Config.fromfile(path)
    if cfg.get('default_scope') is None:  # as in mmdet's Python-style configs, without names
        cfg.default_scope = 'mmdet'
    known = {*cfg, *_KNOWN_KEYS}
    for option in options or {}:
        key = option.split('.')[0]
        if key == 'gradaug':  # a variable of the recipes, already copied into the model
            raise ConfigError(f'--cfg-options {option} has no effect: write model.{option}')
        if key not in known:
            raise ConfigError(
                f'--cfg-options {option}: nothing reads {key!r}{suggestion(key, known)}, expected '
                'a key of the config or of mmengine'
            )
        if key not in _KNOWN_KEYS:
            warn(
                f'--cfg-options {option}: {key} is a variable of the config, and where others were '
                'made of it they keep its old value: set those, such as train_dataloader.dataset'
            )
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f'--cfg-options {" ".join(options or ())} cannot be merged: each part of a key has to '
            'be a key of the config, or the number of a dictionary in a list; write other lists '
            'as a whole, as in scales=[1.0,0.8]'
        ) from error
    if gradaug and not is_gradaug(cfg):
        kind = cfg.get('model', {}).get('type')
        raise ConfigError(
            f'{path} has model type {kind!r}, expected GradAugDetector or GradAugClassifier'
        )
    return cfg


def is_gradaug(cfg: Config) -> bool:
    """Return whether a config's model is a GradAug detector or classifier, or extends one."""
    kind = cfg.get('model', {}).get('type')
    model = class_of(kind, MODELS) or class_of(kind, MMDET_MODELS)
    return model is not None and issubclass(model, GradAugMixin)


def make_output_dir(path: str | Path, option: str = '--out') -> Path:
    """Make a folder for results before anything is computed for it.

    Raises:
        ConfigError: If no file can be written there.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        # Permissions do not tell: root has them on a read-only file system, too.
        with tempfile.TemporaryFile(dir=path):
            return Path(path)
    except OSError as error:
        raise ConfigError(
            f'{option} {path} cannot be written ({error.strerror}): name another folder'
        ) from error


def warn(text: str) -> None:
    """Print a warning of one line on stderr."""
    print(f'warning: {text}', file=sys.stderr, flush=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a tool with the line ``error: ...`` and status 1 on a :class:`ConfigError`.

    Raises:
        SystemExit: In place of a ``ConfigError``, also of one that a data loader's worker raised,
            and with status 130 in place of Ctrl-C's traceback.
    """
    try:
        yield
    except ConfigError as error:
        text = str(error)
        if text.startswith('Caught '):  # torch passes on a worker's traceback as the message
            text = text.rpartition(f'\n{ConfigError.__module__}.ConfigError: ')[2].strip()
        raise SystemExit(f'error: {text}') from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # 128 and SIGINT's number: a shell's own loop stops, too
