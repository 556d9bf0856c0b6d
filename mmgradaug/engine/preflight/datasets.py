"""The data sets and evaluators of a run that read annotation files, and what each reads there."""

from __future__ import annotations

import copy
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

from ...type_names import builds, class_of
from .named_data import evaluators, is_local, leaves, loader_dataset, prefixes_of


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
        found = list(_dataset_uses(*loader_dataset(cfg, loop)))
        uses += found
        uses += _evaluator_uses(cfg, loop, found)
    return uses


def placed_classes(cfg: Config, loops: tuple[str, ...]) -> list[tuple[str, Sequence[str]]]:
    """Key and classes of data sets whose labels are places in ``classes``: VOC and WIDER FACE."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    found: list[tuple[str, Sequence[str]]] = []
    for loop in loops:
        for leaf, key in leaves(*loader_dataset(cfg, loop)):
            kind, metainfo = _class_of(leaf, key), leaf.get('metainfo')
            if kind is None or not issubclass(kind, XMLDataset):
                continue
            classes = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
            if isinstance(classes, (list, tuple)):
                found.append((key, classes))
    return found


def _evaluator_uses(cfg: Config, loop: str, datasets: list[CocoUse]) -> Iterator[CocoUse]:
    """Evaluators that compare with annotations; their classes are the data set's."""
    for entry, key, path in evaluators(cfg, loop):
        kind = class_of(entry.get('type'), METRICS)
        if kind is not CocoMetric or entry.get('format_only') or not datasets:
            continue
        metrics = entry.get('metric', 'bbox')
        masks = 'segm' in ([metrics] if isinstance(metrics, str) else metrics)
        yield CocoUse(key, path, datasets[0].classes, masks=masks, evaluator=True)


def _dataset_uses(dataset: Any, key: str) -> Iterator[CocoUse]:
    """Data sets that read a local file as ``CocoDataset`` does."""
    for leaf, leaf_key in leaves(dataset, key):
        if not _reads_coco(leaf, leaf_key) or not is_local(leaf):
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
    for name, value in prefixes_of(dataset).items():
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
    return is_local(first) and '://' not in built.data_prefix['img']
