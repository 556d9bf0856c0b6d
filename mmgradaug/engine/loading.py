"""Read a config as the tools do, and batches for as long as somebody wants some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from ..classification import GradAugClassifier
from ..detection import GradAugDetector
from ..errors import path_suggestion
from ..type_names import class_of
from .errors import InputError
from .option_keys import check_option_keys, warn_of_file_keys

NO_BATCH = (
    'the data loader gives no batch, expected at least one: check the annotation file, '
    'filter_cfg and that batch_size is not above the number of images with drop_last'
)


def load_config(
    path: str,
    options: Mapping[str, Any] | None,
    gradaug: bool = False,
    classifiers: bool = False,
) -> Config:
    """Read a config file and merge ``--cfg-options`` into it.

    Args:
        path: The config file.
        options: What to merge.
        gradaug: Whether it has to be a GradAug config, of a detector.
        classifiers: Whether one of a classifier will do, too.

    Raises:
        InputError: If there is no such file, or it is of another kind.
        Exception: What reading it raises, :class:`ValueError` if it is no Python, has no model or
            an option's first key is misspelt.
    """
    if not Path(path).is_file():
        raise InputError(
            f'no config file at {Path(path).absolute()}{path_suggestion(path)}: expected e.g. '
            'configs/mask_rcnn_r50_gradaug_1x.py'
        )
    cfg = _read(path)
    warn_of_file_keys(cfg)
    check_option_keys(cfg, options or {})
    cfg.merge_from_dict(dict(options or {}))
    kinds = (GradAugDetector, GradAugClassifier) if classifiers else (GradAugDetector,)
    if gradaug and not _is_one_of(cfg, kinds):
        expected = ' or '.join(kind.__name__ for kind in kinds)
        raise InputError(
            f'{path} has model type {cfg.model.get("type")!r}, expected {expected}: README.md '
            'shows the few lines that make a config one'
        )
    return cfg


def _is_one_of(cfg: Config, kinds: tuple[type, ...]) -> bool:
    """Whether a config's model is of one of these classes, or of a class that extends one."""
    model = class_of(cfg.model.get('type'), MODELS)
    return model is not None and issubclass(model, kinds)


def _read(path: str) -> Config:
    """Read a config file.

    Raises:
        ImportError: If a module of its ``custom_imports`` cannot be imported.
        ValueError: If it is no Python, or has no model.
    """
    try:
        cfg = Config.fromfile(path)
    except ImportError as error:
        raise ImportError(f'{path} imports what cannot be imported: {_fault(error)}') from error
    except SyntaxError as error:
        # mmengine does not say in which config file; a module that one imports is named.
        is_module = Path(error.filename or '').is_file()
        where = error.filename if is_module else f'{path}, or a file of its _base_,'
        raise ValueError(
            f'{where} is no Python: {error.msg} in line {error.lineno}: '
            f'{(error.text or "").strip()}'
        ) from error
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'{path} has no model, expected the config of a training run')
    return cfg


def _fault(error: BaseException) -> str:
    """What is wrong with an import; mmengine says what was asked for, and where Python looked."""
    cause = error.__cause__ or error.__context__
    while isinstance(cause, ImportError) and str(error).startswith('Failed to import'):
        error, cause = cause, cause.__cause__ or cause.__context__
    if not isinstance(error, ModuleNotFoundError):
        return str(error)
    return (
        f'{error}: install it, or if it is yours, put PYTHONPATH=FOLDER before the command, the '
        'folder that it is in'
    )


def emptied(cfg: Config, key: str) -> list[str]:
    """Options by which others may set parts of a key that the config says is None.

    mmengine merges nothing into None.
    """
    return [f'{key}._delete_=True'] if key in cfg and cfg[key] is None else []


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Batches of a loader, over and over; small data sets have few.

    Raises:
        ValueError: If the loader has no batch at all.
    """
    while True:
        count = 0
        for batch in loader:
            count += 1
            yield batch
        if not count:
            raise ValueError(NO_BATCH)
