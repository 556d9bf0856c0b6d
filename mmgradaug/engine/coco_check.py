"""Check annotation files in COCO's format against the config that reads them.

mmdet drops in silence what it cannot use, and trains to an AP of 0. Here pycocotools reads each
file once, and mmdet's own code makes the data sets of it. Other formats and remote storage are
left alone.
"""

import difflib
import functools
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path, PureWindowsPath
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset, DSDLDetDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope

from ..errors import ConfigError, listed
from ..type_names import class_of
from .cli import warn
from .coco_metric import ExactCocoMetric, exact_metrics
from .file_names import find_file, near_file
from .object_check import check_objects, check_outlines, mask_loader


def find_datasets(cfg: Config, loop: str) -> dict[str, Any]:
    """Return the data sets of a loop by config key, inside whatever wraps them.

    Annotations are not loaded. None is a data set that is not mmengine's or in remote storage.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    loader, found = f'{loop}_dataloader', {}
    for key, config in _unwrap(cfg.get(loader), loader, ('dataset', 'datasets')):
        built = None
        with suppress(Exception):  # the run will say why, or its class is built otherwise
            built = DATASETS.build({**config, 'lazy_init': True})
        is_known = isinstance(built, BaseDataset) and _is_local(config, built.ann_file)
        found[key] = built if is_known else None
    return found


def _find_evaluators(cfg: Config, loop: str) -> dict[str, Mapping[str, Any]]:
    """Return the evaluators that name a local annotation file, by config key."""
    found = _unwrap(cfg.get(f'{loop}_evaluator'), f'{loop}_evaluator', ('metrics',))
    return {k: e for k, e in found if e.get('ann_file') and _is_local(e, e['ann_file'])}


def _unwrap(config: Any, key: str, wrapped: Sequence[str]) -> Iterator[tuple[str, Mapping]]:
    """Yield the innermost parts of a config by key, those that wrap no other under some names."""
    inner: dict[Any, Any] = dict(enumerate(config)) if isinstance(config, (list, tuple)) else {}
    if isinstance(config, Mapping):
        inner = {name: config[name] for name in wrapped if name in config}
        if not inner:
            yield key, config
    for name, part in inner.items():
        yield from _unwrap(part, f'{key}.{name}', wrapped)


def _is_local(options: Mapping[str, Any], path: Any) -> bool:
    chosen = options.get('backend_args') or options.get('file_client_args') or {}  # mmcv's old name
    local = ('local', 'LocalBackend', 'disk', 'HardDiskBackend')
    return chosen.get('backend', 'local') in local and '://' not in str(path)


def class_names(dataset: Any) -> list[str]:
    """Return the classes of a data set; ``('box')``, which is a text, is one for mmdet."""
    metainfo: Any = dataset.metainfo  # several, of a ConcatDataset whose parts differ
    classes = (metainfo[0] if isinstance(metainfo, list) else metainfo)['classes']
    return [classes] if isinstance(classes, str) else list(classes)


def reads_coco(dataset: Any) -> Any:
    """Return whether a data set reads an annotation file by ``CocoDataset``'s own code."""
    own = [getattr(type(dataset), name, None) for name in ('load_data_list', 'parse_data_info')]
    return own == [CocoDataset.load_data_list, CocoDataset.parse_data_info] and dataset.ann_file


def _reads_files(dataset: Any) -> bool:
    """Return whether a library's class finds the files, not a user's."""
    own = (type(dataset).load_data_list, type(dataset).parse_data_info)
    return all(f.__module__.split('.')[0] in ('mmengine', 'mmdet', 'mmgradaug') for f in own)


def check_files(cfg: Config, loops: Iterable[str]) -> None:
    """Raise ConfigError if the data of some loops, an annotation file or image folder is missing.

    ``cfg.data_help``, if any, says how to get the data.
    """
    fetched = set()  # folders that the first of their data sets downloads
    for loop in loops:
        if not cfg.get(f'{loop}_dataloader'):
            kind = dict(train='training', val='validation').get(loop, loop)
            raise ConfigError(f'this config has no {kind} data: set {loop}_dataloader')
        named = {f'{key}.ann_file': e['ann_file'] for key, e in _find_evaluators(cfg, loop).items()}
        for key, dataset in find_datasets(cfg, loop).items():
            if getattr(dataset, 'download', False):
                fetched.add(dataset.data_root)
            if dataset is None or dataset.data_root in fetched or not _reads_files(dataset):
                continue
            if not isinstance(dataset, DSDLDetDataset):  # which adds data_root twice
                named[f'{key}.ann_file'] = dataset.ann_file
            # That which the class loads; images of CocoDataset are looked for one by one.
            folders = [] if reads_coco(dataset) else ['sub_data_root', 'img_path', 'img']
            folders = [name for name in folders if dataset.data_prefix.get(name)][:1]
            named |= {f'{key}.data_prefix.{n}': dataset.data_prefix[n] for n in folders}
        for key, path in named.items():
            if path and '://' not in path and not os.path.exists(path):
                raise ConfigError(
                    f'no data at {Path(path).absolute()} ({key}): get the data, or set data_root '
                    'of each data set and ann_file of each evaluator'
                    + (f'; for those of this config: {cfg.data_help}' if 'data_help' in cfg else '')
                )


def check_annotations(cfg: Config, loops: Iterable[str]) -> None:
    """Check the annotation files that some loops read, unless ``cfg.check_annotations`` is False.

    Raises:
        ConfigError: If a file is no COCO file or has other classes, images are missing, no training
            image has an object left, or an evaluator compares with other images.
    """
    read = functools.cache(_read)  # a data set and its evaluator name the same file
    labels: dict[str, list[str]] = {}
    replaced = ((cfg.get('default_hooks') or {}).get('bad_images') or {}).get('max_bad_images', 0)
    for loop in loops if cfg.get('check_annotations', True) else ():
        datasets = find_datasets(cfg, loop)
        ours = {f'{d.ann_file} ({key})': d for key, d in datasets.items() if reads_coco(d)}
        for where, dataset in ours.items():
            coco = read(dataset.ann_file)
            _load(where, dataset, coco)
            _check_images(where, dataset, allowed=replaced if loop == 'train' else 0)
            if not dataset.return_classes:  # there, classes are texts
                _check_classes(where, dataset, coco, labels)
        if loop == 'train':
            check_objects(ours, read, others=len(ours) < len(datasets))
        for key, entry in _find_evaluators(cfg, loop).items():
            metric = class_of(exact_metrics(entry).get('type'), METRICS) or object
            measured = ours
            if 'dataset_prefixes' in cfg[f'{loop}_evaluator']:  # a metric for each data set
                own = rf'\({loop}_dataloader\.dataset\.datasets\.{key.rpartition(".")[2]}[.)]'
                measured = {where: d for where, d in ours.items() if re.search(own, where)}
            if issubclass(metric, ExactCocoMetric) and not entry.get('format_only'):
                _check_evaluator(f'{entry["ann_file"]} ({key})', entry, measured, read)


def _read(path: str) -> COCO:
    try:
        with redirect_stdout(io.StringIO()):
            coco = COCO(path)
        coco.dataset['images'], coco.dataset['categories']  # or KeyError
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        said = f'it has no {error}' if isinstance(error, KeyError) else error
        raise ConfigError(
            f'{path} is no annotation file ({said}): expected a JSON object in UTF-8 with the '
            'lists "images", "annotations" and "categories" of COCO\'s format: convert the labels, '
            'or use a data set class that reads this format'
        ) from error
    return coco


def _load(where: str, dataset: Any, coco: COCO) -> None:
    """Let mmdet's own code make a data set of a file."""
    if 'img' not in dataset.data_prefix:
        raise ConfigError(
            f'{where}: data_prefix has no img, expected the folder of the images in data_root: set '
            "data_prefix=dict(img='images/')"
        )
    dataset.COCOAPI, dataset.serialize_data = lambda path: coco, False
    try:
        dataset.full_init()
        instances = (i for info in dataset.data_list for i in info['instances'])
        learns_masks = mask_loader(dataset) and not dataset.test_mode
        if learns_masks and any('mask' not in i for i in instances):
            raise KeyError('segmentation')
    except KeyError as error:
        raise ConfigError(f'{where} has an entry without {error}: add it to the file') from error
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f'{where} has an entry that mmdet cannot read ({error}): expected bbox=[x, y, width, '
            'height], area and sizes of images as numbers, and an id of its own for each object'
        ) from error


def _check_images(where: str, dataset: Any, allowed: int) -> None:
    """Raise if more images are missing than allowed; listing folders is cheap on any disk."""
    load: Any = next(iter(dataset.pipeline.transforms), None)
    paths = [info['img_path'] for info in dataset.data_list]
    loads = type(load) is LoadImageFromFile and not load.ignore_empty
    if not (loads and paths and _is_local(vars(load), paths[0])):
        return
    folders = {os.path.dirname(path) for path in paths}
    there = {f: set(os.listdir(f or '.')) if os.path.isdir(f or '.') else () for f in folders}
    missing = [path for path in paths if Path(path).name not in there[os.path.dirname(path)]]
    missing = [path for path in missing if not os.path.exists(find_file(path))]
    if len(missing) > allowed:
        raise ConfigError(
            f'{len(missing)} of {len(paths)} images of {where} are missing, the first is '
            f'{Path(missing[0]).absolute()}{near_file(missing[0])}: get them, or set data_root and '
            'data_prefix.img to where they are'
        )


def _check_classes(where: str, dataset: Any, coco: COCO, labels: dict[str, list[str]]) -> None:
    """Raise if no category is one of the classes, one is misspelt, or files number them otherwise.

    ``labels`` are the names of the classes by label, for each file so far; this one is added.
    """
    classes = class_names(dataset)
    categories = [category['name'] for category in coco.dataset['categories']]
    names = [name for name in categories if name in classes]
    if not names:
        raise ConfigError(
            f'{where} has the categories {listed(map(repr, categories))}, none of them in '
            f'metainfo.classes ({listed(map(repr, classes))}): set metainfo=dict(classes=...) to '
            'the names of the file, and num_classes of the heads to their number'
        )
    if names != classes and len(set(names)) < len(names):
        raise ConfigError(
            f'{where} has several categories of one name ({listed(names)}), each of which mmdet '
            'gives a label, beyond those of the heads: remove those without objects, or rename them'
        )
    for name in set(classes) - set(names):
        if meant := _misspelling(str(name), [str(c) for c in categories if c not in names]):
            raise ConfigError(
                f'{where} has no category {name!r} of metainfo.classes, but {meant!r}: write both '
                'alike, or set check_annotations=False if they are two things'
            )
    if names != classes and not dataset.test_mode:
        lacking = [name for name in classes if name not in names]
        warn(
            f'{where} has no category {listed(lacking)}, which metainfo.classes names'
            if names == classes[: len(names)]
            else f'{where} has the categories {listed(names)}, in this order, metainfo.classes has '
            f'{listed(classes)}: predictions will get wrong names, so set metainfo.classes (and '
            f"num_classes) to the file's, {tuple(names)}"
        )
    palette = dataset.metainfo.get('palette')
    if isinstance(palette, list) and sum(not isinstance(c, str) for c in palette) < len(classes):
        warn(
            f'{where}: metainfo.palette would end a run that draws predictions, expected (red, '
            f"green, blue) for each of {len(classes)} classes: write them, or set it to 'random'"
        )
    labels[where] = names  # mmdet numbers classes in the order of the file's categories
    first, expected = next(iter(labels.items()))
    if any(one != other for one, other in zip(names, expected, strict=False)):
        raise ConfigError(
            f'{where} has the categories {listed(names)}, {first} has {listed(expected)}: mmdet '
            "numbers classes in a file's order, so all files need the same in the same order"
        )


def _misspelling(name: str, others: Sequence[str]) -> str | None:
    """Return what is probably the same name, unlike ``grade_1``, ``grade_2`` or house, horse."""
    own, *plain = (re.sub(r'[\W_]', '', text.casefold()) or text for text in (name, *others))
    near = difflib.get_close_matches(own, plain, n=1, cutoff=0.82)
    found = others[plain.index(near[0])] if near else name
    words = [re.findall('[a-z]{2,}', text.casefold()) for text in (name, found)]
    return found if near and (near[0] == own or words[0] != words[1]) else None


def _check_evaluator(
    where: str, entry: Mapping[str, Any], datasets: Mapping[str, Any], read: Any
) -> None:
    """Raise if an evaluator's file lacks keys, or is of other images than are predicted on."""
    coco = read(entry['ann_file'])
    masks = 'segm' in entry.get('metric', '')
    keys = ['bbox', 'area', 'iscrowd'] + ['segmentation'] * masks
    known = {category for dataset in datasets.values() for category in dataset.cat_ids}
    compared = [a for a in coco.anns.values() if a['category_id'] in known or not known]
    lacking = [key for key in keys if any(a.get(key) is None for a in compared)]
    if lacking or 'annotations' not in coco.dataset:
        raise ConfigError(f'{where} lacks {listed(lacking or ["annotations"])}: add it to the file')
    for annotation in compared if masks and known else ():
        try:
            if annotation['image_id'] in coco.imgs:
                coco.annToRLE(annotation)
        except Exception as error:  # pycocotools raises this very class, too
            raise ConfigError(
                f'{where}: pycocotools can make no mask of annotation {annotation["id"]!r} '
                f'({error!r}): fix its segmentation and the size of its image, or take it out'
            ) from error
    if apart := check_outlines(where, coco.anns.values(), masks):
        warn(f'{where}{apart}')
    # Ids alone do not tell: those of every split may begin at 1.
    theirs, more = coco.imgs, set(coco.imgs)
    for other, dataset in datasets.items():
        own = read(dataset.ann_file).imgs
        ids = [info['img_id'] for info in dataset.data_list]
        wrong = [i for i in ids if i not in theirs or not _is_same(theirs[i], own[i])]
        more.difference_update(ids)
        if wrong:
            raise ConfigError(
                f'{where} is of other images than {other}: it lacks {len(wrong)} of {len(ids)} or '
                f'has others under their ids, the first is {own[wrong[0]]["file_name"]} (id '
                f'{wrong[0]!r}): set ann_file to the file of that data set'
            )
    if datasets and more:
        warn(
            f'{where} has {len(more)} images that are not predicted on, whose objects count as '
            'missed: give the evaluator a file without them'
        )


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare images of two files; the first may lack keys, folders and file types may differ."""
    images = [image for image in (one, other) if 'file_name' in image]
    names = {PureWindowsPath(str(image['file_name'])).stem for image in images}  # takes / and \\
    same_size = all(one.get(key, other[key]) == other[key] for key in ('height', 'width'))
    return len(names) == 1 and same_size
