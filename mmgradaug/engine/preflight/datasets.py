"""The data sets a run will read: which files they name, and whether these are there."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset, XMLDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ...near_names import near_path
from ...type_names import builds, class_of

DEFAULT_DATA_HELP = (
    'get the data set, or set data_root to where it is in the config file; the command line takes '
    'data_root of each data set, such as train_dataloader.dataset.data_root, and ann_file of each '
    'evaluator'
)


@dataclass(frozen=True)
class CocoUse:
    """One reader of an annotation file in COCO's format: a data set, or an evaluator.

    Attributes:
        key: Where the config names it, such as ``train_dataloader.dataset``.
        path: The annotation file.
        classes: The data set's classes, in the order of its ``metainfo``.
        folder: Where the images are; None where they are not to be looked for.
        training: Its annotations are what a network learns from.
        masks: Segmentations are read.
        evaluator: It compares predictions with the annotations.
        filter_cfg: The data set's ``filter_cfg``.
        indices: The data set's ``indices``: how many of its images, or which; None for all.
        own_classes: The config says which classes; otherwise they are the data set class's.
        open_vocabulary: Classes are given as text, so heads need not count them.
    """

    key: str
    path: Path
    classes: Any
    folder: Path | None = None
    training: bool = False
    masks: bool = False
    evaluator: bool = False
    filter_cfg: Mapping[str, Any] | None = None
    indices: Any = None
    own_classes: bool = True
    open_vocabulary: bool = False


def check_files(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if an annotation file or image folder is not there.

    Args:
        cfg: The run's config. ``data_help`` in it may say how to get its data set.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
    """
    for loop in loops:
        named = [*_data_files(*_loader_dataset(cfg, loop)), *_evaluator_files(cfg, loop)]
        for key, path in named:
            if not path.exists():
                raise FileNotFoundError(
                    f'no data at {path.absolute()} ({key}){near_path(path)}: '
                    f'{DEFAULT_DATA_HELP}{_data_help(cfg)}'
                )


def coco_uses(cfg: Config, loops: tuple[str, ...]) -> list[CocoUse]:
    """All readers of local annotation files in COCO's format.

    Only data sets that read the file as ``CocoDataset`` does count, a user's subclass with other
    classes among them. Others (VOC, LVIS, Cityscapes, Objects365, ...) have rules of their own.

    Raises:
        TypeError, ValueError: If a data set does not take its options.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    uses = []
    for loop in loops:
        found = list(_dataset_uses(*_loader_dataset(cfg, loop)))
        uses += found
        uses += _evaluator_uses(cfg, loop, found)
    return uses


def placed_classes(cfg: Config, loops: tuple[str, ...]) -> list[tuple[str, Sequence[str]]]:
    """Key and classes of data sets whose labels are places in ``classes``: VOC and WIDER FACE."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    found: list[tuple[str, Sequence[str]]] = []
    for loop in loops:
        for leaf, key in leaves(*_loader_dataset(cfg, loop)):
            kind, metainfo = _class_of(leaf, key), leaf.get('metainfo')
            if kind is None or not issubclass(kind, XMLDataset):
                continue
            classes = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
            if isinstance(classes, (list, tuple)):
                found.append((key, classes))
    return found


def _loader_dataset(cfg: Config, loop: str) -> tuple[Any, str]:
    """The data set config of a loop and its key."""
    return (cfg.get(f'{loop}_dataloader') or {}).get('dataset'), f'{loop}_dataloader.dataset'


def _data_help(cfg: Config) -> str:
    """How to get the data set that a config of this repository was written for."""
    return f'; for the one this config inherits: {cfg.data_help}' if 'data_help' in cfg else ''


def leaves(dataset: Any, key: str) -> Iterator[tuple[Mapping, str]]:
    """Data set configs inside RepeatDataset, ConcatDataset and other wrappers, with keys."""
    if isinstance(dataset, (list, tuple)):
        for index, entry in enumerate(dataset):
            yield from leaves(entry, f'{key}.{index}')
    elif isinstance(dataset, Mapping):
        for wrapped in ('dataset', 'datasets'):
            yield from leaves(dataset.get(wrapped), f'{key}.{wrapped}')
        yield dataset, key


def _data_files(dataset: Any, key: str) -> Iterator[tuple[str, Path]]:
    """Local annotation files and image folders that a data set config names."""
    for leaf, leaf_key in leaves(dataset, key):
        if not _is_local(leaf):
            continue  # not on a disk that could be looked at
        root = leaf.get('data_root')
        root = root if isinstance(root, str) else ''
        named = {'ann_file': leaf.get('ann_file'), **_prefixes(leaf)}
        if root and not any(named.values()) and not leaf.get('download'):
            yield f'{leaf_key}.data_root', Path(root)  # images in folders, one a class
        for name, value in named.items():
            joined = os.path.join(root, value) if isinstance(value, str) and value else ''
            if joined and '://' not in joined:
                yield f'{leaf_key}.{name}', Path(joined)


def _is_local(config: Mapping) -> bool:
    """Whether a data set, evaluator or transform reads from a disk."""
    options = config.get('backend_args')
    backend = options.get('backend', 'local') if isinstance(options, Mapping) else 'local'
    named = (config.get('data_root'), config.get('ann_file'))
    remote = any(isinstance(value, str) and '://' in value for value in named)
    return backend in ('local', 'LocalBackend') and not remote


def _prefixes(dataset: Mapping) -> dict[str, Any]:
    """Folders of a data set's ``data_prefix``, by config key."""
    prefixes = dataset.get('data_prefix')
    prefixes = prefixes if isinstance(prefixes, Mapping) else {}
    return {f'data_prefix.{name}': value for name, value in prefixes.items()}


def _evaluators(cfg: Config, loop: str) -> Iterator[tuple[Mapping, str, Path]]:
    """Evaluators that name a local annotation file, with their keys."""
    entries = cfg.get(f'{loop}_evaluator') if cfg.get(f'{loop}_dataloader') else None
    for index, entry in enumerate(entries if isinstance(entries, (list, tuple)) else [entries]):
        key = (
            f'{loop}_evaluator.{index}'
            if isinstance(entries, (list, tuple))
            else (f'{loop}_evaluator')
        )
        path = entry.get('ann_file') if isinstance(entry, Mapping) else None
        if isinstance(path, str) and path and _is_local(entry):
            yield entry, key, Path(path)


def _evaluator_files(cfg: Config, loop: str) -> Iterator[tuple[str, Path]]:
    """Annotation files that evaluators name, with their keys."""
    for _, key, path in _evaluators(cfg, loop):
        yield f'{key}.ann_file', path


def _evaluator_uses(cfg: Config, loop: str, datasets: list[CocoUse]) -> Iterator[CocoUse]:
    """Evaluators that compare with annotations; their classes are the data set's."""
    for entry, key, path in _evaluators(cfg, loop):
        kind = class_of(entry.get('type'), METRICS)
        if kind is not CocoMetric or entry.get('format_only') or not datasets:
            continue
        metrics = entry.get('metric', 'bbox')
        masks = 'segm' in ([metrics] if isinstance(metrics, str) else metrics)
        yield CocoUse(key, path, datasets[0].classes, masks=masks, evaluator=True)


def _dataset_uses(dataset: Any, key: str) -> Iterator[CocoUse]:
    """Data sets that read a local file as ``CocoDataset`` does."""
    for leaf, leaf_key in leaves(dataset, key):
        if not _reads_coco(leaf, leaf_key) or not _is_local(leaf):
            continue
        _check_options(leaf, leaf_key)
        built: Any = _built(leaf)
        if not built.ann_file:
            continue
        if not isinstance(built.data_prefix.get('img'), str):
            raise ValueError(
                f"{leaf_key}.data_prefix is {dict(built.data_prefix)}, expected a key 'img': set "
                "data_prefix=dict(img='FOLDER/')"
            )
        pipeline = leaf.get('pipeline') or ()
        yield CocoUse(
            leaf_key,
            Path(built.ann_file),
            built.metainfo.get('classes'),
            Path(built.data_prefix['img']) if _loads_files(pipeline, built) else None,
            training=not built.test_mode,
            masks=any(isinstance(t, Mapping) and t.get('with_mask') for t in pipeline),
            filter_cfg=built.filter_cfg,
            indices=built._indices,
            own_classes='classes' in (leaf.get('metainfo') or {}),
            open_vocabulary=built.return_classes,
        )


def _check_options(dataset: Mapping, key: str) -> None:
    """Raise if an option that ``CocoDataset`` takes without a look is of another type."""
    expected = {
        'ann_file': (str, 'a path'),
        'data_root': (str, 'a path'),
        'data_prefix': (Mapping, "a dict such as dict(img='train/')"),
        'metainfo': (Mapping, "a dict such as dict(classes=('cat', 'dog'))"),
        'filter_cfg': (Mapping, 'a dict such as dict(filter_empty_gt=True)'),
        'backend_args': (Mapping, "a dict such as dict(backend='local')"),
    }
    for name, (kind, text) in expected.items():
        value = dataset.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f'{key}.{name} is {value!r}, expected {text}')
    pipeline = [] if dataset.get('pipeline') is None else dataset['pipeline']
    listed = isinstance(pipeline, (list, tuple))
    if not listed or any(not isinstance(t, Mapping) and not callable(t) for t in pipeline):
        raise ValueError(
            f'{key}.pipeline is {pipeline!r}, expected a list of dicts such as '
            "dict(type='LoadImageFromFile')"
        )
    least = (dataset.get('filter_cfg') or {}).get('min_size', 0)
    if isinstance(least, bool) or not isinstance(least, (int, float)):
        raise ValueError(f'{key}.filter_cfg.min_size is {least!r}, expected a number of pixels')
    for name, value in _prefixes(dataset).items():
        if not isinstance(value, str):
            raise ValueError(f'{key}.{name} is {value!r}, expected a folder')


def _reads_coco(dataset: Mapping, key: str) -> bool:
    """Whether a data set config's class reads annotation files by ``CocoDataset``'s own code."""
    kind = _class_of(dataset, key)
    if kind is None or not issubclass(kind, CocoDataset):
        return False
    names = ('load_data_list', 'parse_data_info', 'full_init', 'filter_data')
    return all(getattr(kind, name) is getattr(CocoDataset, name) for name in names)


def _class_of(dataset: Mapping, key: str) -> type | None:
    """The class of a data set config, if it names one."""
    kind = dataset.get('type')
    try:
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    except RuntimeError as error:  # a name that cannot even be looked up
        raise ValueError(
            f'{key}.type is {kind!r}, expected the name of a data set class'
        ) from error
    return kind if isinstance(kind, type) else None


def _built(dataset: Mapping) -> Any:
    """The data set without its data: paths joined and classes found by its own rules."""
    given = {name: value for name, value in dataset.items() if value is not None}
    config = copy.deepcopy(given)
    return DATASETS.build({**config, 'pipeline': [], 'lazy_init': True})


def _loads_files(pipeline: Any, built: Any) -> bool:
    """Whether images are read from a disk, and a missing one would stop the run."""
    first = pipeline[0] if pipeline and isinstance(pipeline[0], Mapping) else {}
    if not builds(first, LoadImageFromFile, TRANSFORMS) or first.get('ignore_empty'):
        return False
    return _is_local(first) and '://' not in built.data_prefix['img']
