"""How well a classifier or a detector does on corrupted images.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019 (GradAug, section 4.5); for detectors, Michaelis et al., "Benchmarking
robustness in object detection", 2019.
"""

import contextlib
import copy
import inspect
import io
import json
import statistics
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import Tensor

from ..classification.datasets import TorchvisionImages
from ..classification.transforms import PackImage
from ..engine.atomic import write_atomically
from ..engine.hooks.bad_images import CheckedLoading
from ..errors import ConfigError, suggestion
from .widths import Validation, shown_of

# AlexNet's top-1 error in per cent on ImageNet-C, the mean over the severities, as Hendrycks and
# Dietterich publish it beside their data (github.com/hendrycks/robustness); their paper rounds it.
GROUPS = {
    'noise': dict(gaussian_noise=88.6428, shot_noise=89.4468, impulse_noise=92.2640),
    'blur': dict(defocus_blur=81.9880, glass_blur=82.6268, motion_blur=78.5948, zoom_blur=79.8360),
    'weather': dict(snow=86.6816, frost=82.6572, fog=81.9324, brightness=56.4592),
    'digital': dict(
        contrast=85.3204, elastic_transform=64.6056, pixelate=71.7840, jpeg_compression=60.6500
    ),
}
ALEXNET_ERRORS = {name: error for group in GROUPS.values() for name, error in group.items()}
SEVERITIES = (1, 2, 3, 4, 5)
OWN_SEED = ('impulse_noise', 'glass_blur')  # draw from a generator of their own, not NumPy's


class Corruption:
    """A step of a pipeline that corrupts images, each in the same way in every run.

    Random numbers are seeded by the image (folder and name of its file, or its place in data
    without files), ``name`` and ``severity``, so workers and the order of images do not matter.
    ``severity`` 0, its first value, leaves images as they are.
    """

    def __init__(self) -> None:
        try:
            from imagecorruptions import corrupt
        except ImportError as error:
            raise ConfigError(
                'no imagecorruptions: pip install imagecorruptions-imaug, or give --root'
            ) from error
        if 'kwargs' not in inspect.signature(corrupt).parameters:
            raise ConfigError(
                'this imagecorruptions takes no seeds: pip uninstall imagecorruptions, then pip '
                'install imagecorruptions-imaug, or give --root'
            )
        self.corrupt = corrupt
        self.name, self.severity = '', 0

    def __call__(self, results: dict) -> dict:
        """Corrupt an image of 32 or more pixels a side, bytes or such as floats.

        Grey (H, W), (H, W, 3) in BGR, or a tensor (3, H, W).
        """
        if not self.severity:
            return results
        image, path = results['img'], results.get('img_path')
        place = Path(path).parts[-2:] if path else results['sample_idx']
        seed = zlib.crc32(f'{place} {self.name} {self.severity}'.encode())
        np.random.seed(seed)
        own = {'seed': seed} if self.name in OWN_SEED else {}
        is_tensor = isinstance(image, Tensor)
        pixels = image.permute(1, 2, 0).numpy() if is_tensor else image
        is_grey = pixels.ndim == 2
        rgb = pixels if is_tensor or is_grey else pixels[..., ::-1]
        if np.array_equal(whole := rgb.clip(0, 255).astype(np.uint8), rgb):
            rgb = whole
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # what it says of odd sizes
                new = self.corrupt(rgb, self.severity, self.name, **own)
        except AttributeError as error:  # of the package's own checks
            raise ConfigError(f'image {path or place} cannot be corrupted: {error}') from error
        if is_grey:
            new = new[..., 0]  # it was corrupted as three
        elif not is_tensor:
            new = new[..., ::-1]
        new = np.array(new, pixels.dtype, order='C')  # Pillow's is read-only
        results['img'] = torch.from_numpy(new).permute(2, 0, 1) if is_tensor else new
        return results


def insert_corruption(dataset: Any, step: Corruption) -> bool:
    """Insert a step into a data set's pipelines, also of a wrapped one; tell if there was a place.

    Classifiers' images are corrupted last, at the size that the network sees, as ImageNet-C's are;
    detectors' as they are loaded, before they are resized, as COCO-C's.
    """
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', [])
    inserted = [insert_corruption(wrapped, step) for wrapped in inner]
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    places = [i for i, t in enumerate(transforms) if isinstance(t, PackImage)]
    places += [i + 1 for i, t in enumerate(transforms) if isinstance(t, CheckedLoading)]
    for place in places[:1]:
        transforms.insert(place, step)
    return any(inserted) or bool(places)


@DATASETS.register_module()
class CifarC(TorchvisionImages):
    """CIFAR-10-C or CIFAR-100-C as published.

    ``data_root`` has an array (5 N, 32, 32, 3) of bytes for each corruption, ``name.npy``, and the
    labels (5 N,), ``labels.npy``; ``split`` is the severity.
    """

    def load_data_list(self) -> list[dict]:
        """Return one entry per image of the severity."""
        labels = np.load(Path(self.data_root, 'labels.npy'))
        count, severity = len(labels) // len(SEVERITIES), int(self.split)
        part = slice((severity - 1) * count, severity * count)
        pixels = np.load(Path(self.data_root, f'{self.name}.npy'), mmap_mode='r')[part]
        self.images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2)
        return [{'place': i, 'gt_label': int(label)} for i, label in enumerate(labels[part])]


def published_data(root: Path, corruption: str, severity: int, classes: Any) -> dict[str, Any]:
    """Return the config of published images, of ImageNet-C in folders or CIFAR-C in arrays.

    They have the size that the network sees, so nothing resizes or crops them.

    Raises:
        ConfigError: If neither is there.
    """
    pack = [dict(type='PackImage')]
    # Of a class that is too rare to be validated there are no images here either.
    options = dict(split=str(severity), metainfo=dict(classes=classes), test_mode=True)
    if (root / f'{corruption}.npy').exists() and (root / 'labels.npy').exists():
        return dict(type='CifarC', name=corruption, data_root=str(root), pipeline=pack, **options)
    if not (root / corruption / str(severity)).is_dir():
        raise ConfigError(
            f'--root {root.absolute()} has no {corruption} of severity {severity}: expected '
            f'{corruption}/{severity}/CLASS/IMAGE, or {corruption}.npy and labels.npy'
        )
    steps = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), *pack]
    return dict(type='ClassFolders', data_root=str(root / corruption), pipeline=steps, **options)


def corrupted_data(
    cfg: Config,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    images: int | None = None,
    root: Path | None = None,
) -> Iterator[tuple[str, int, Validation]]:
    """Yield corruption, severity and a config's validation data so corrupted, the clean ones first.

    Evaluate each before the next is asked for.

    Args:
        cfg: Config of a classifier or detector.
        corruptions: Of :data:`ALEXNET_ERRORS`; all by default.
        severities: Of :data:`SEVERITIES`; clean images have 0.
        images: Number of images, evenly spread; all by default.
        root: Folder of a classifier's published images; by default workers corrupt the images.
    """
    corruptions = corruptions or list(ALEXNET_ERRORS)
    for name in corruptions:
        if name not in ALEXNET_ERRORS:
            near = suggestion(name, ALEXNET_ERRORS) or f', expected of {list(ALEXNET_ERRORS)}'
            raise ConfigError(f'unknown corruption {name!r}{near}')
    if not set(severities) <= {*SEVERITIES}:
        raise ConfigError(f'severities {list(severities)}, expected of {list(SEVERITIES)}')
    cfg = copy.deepcopy(cfg)
    cfg.val_dataloader.persistent_workers = False  # they would keep the first corruption
    clean = Validation(cfg, images=images)
    pairs = [(name, severity) for name in corruptions for severity in severities]
    if root is not None:
        found = [published_data(root, *pair, clean.metainfo['classes']) for pair in pairs]
        yield 'clean', 0, clean
        for pair, cfg.val_dataloader.dataset in zip(pairs, found, strict=True):
            yield *pair, Validation(cfg, images=images)
        return
    step = Corruption()
    if not insert_corruption(clean.loader.dataset, step):
        raise ConfigError('the pipeline of val_dataloader has no LoadImageFromFile or PackImage')
    yield 'clean', 0, clean
    for name, severity in pairs:
        step.name, step.severity = name, severity
        yield name, severity, clean


@dataclass(frozen=True)
class CorruptionResult:
    """Metrics of a network under one corruption; clean images have severity 0."""

    corruption: str
    severity: int
    metrics: dict[str, float]

    def value(self, name: str) -> float:
        """Return a metric that :func:`shown_of` names: 0 where a detector finds nothing."""
        return shown_of(self.metrics).get(name, 0.0)


def evaluate_corruptions(
    network: Any, data: Iterable[tuple[str, int, Validation]], path: Path
) -> Iterator[CorruptionResult]:
    """Yield a network's results on :func:`corrupted_data`, and keep each in its JSON file.

    Those that the file has of an earlier call are not evaluated again, and stay.
    """
    old = json.loads(path.read_text())['results'] if path.is_file() else []
    results = {(r['corruption'], r['severity']): CorruptionResult(**r) for r in old}
    for name, severity, validation in data:
        if (name, severity) not in results:
            metrics = validation.evaluate(network)
            results[name, severity] = CorruptionResult(name, severity, metrics)
            record = {'results': [asdict(result) for result in results.values()]}
            write_atomically(json.dumps(record).encode(), path)
        yield results[name, severity]


def summarise(
    results: Sequence[CorruptionResult], num_classes: int = 0
) -> dict[str, dict[str, float]]:
    """Summarise results of corruptions, those of clean images first.

    Returns:
        ``mPC``, mean performance under corruption, the mean of each metric over corruptions and
        severities, and ``rPC``, in per cent of that on clean images; of a classifier of ImageNet
        under all corruptions and severities also ``CE``, top-1 errors in per cent of AlexNet's:
        of each corruption, and their mean, the ``mCE``.
    """
    clean, *corrupted = results
    names = shown_of(clean.metrics)
    mpc = {name: statistics.mean(r.value(name) for r in corrupted) for name in names}
    rpc = {name: 100 * mpc[name] / value for name, value in names.items() if value}
    summary = {'mPC': mpc, 'rPC': rpc}
    pairs = {(r.corruption, r.severity) for r in corrupted}
    is_complete = len(pairs) == len(corrupted) == len(ALEXNET_ERRORS) * len(SEVERITIES)
    if is_complete and num_classes == 1000:
        errors = defaultdict(list)
        for result in corrupted:
            errors[result.corruption].append(100 - result.metrics['accuracy/top1'])
        ce = {name: 100 * statistics.mean(e) / ALEXNET_ERRORS[name] for name, e in errors.items()}
        summary['CE'] = {'mCE': statistics.mean(ce.values()), **ce}
    return summary
