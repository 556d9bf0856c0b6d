"""Scenes of Fashion-MNIST's garments on textured ground, in COCO's format with masks.

They are semi-synthetic: real pixels, generated arrangement. Garments of several sizes, turned
and mirrored, hide each other and are hidden by things without a label: patches of noise and
clippings, which show less of a garment than any that has a label. Every image is a function of
(seed, split, index) alone. Training scenes show images of Fashion-MNIST's training file and
validation scenes those of its test file, so networks may be pretrained on the training file.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..classification.datasets import TorchvisionImages
from .coco_writer import Sample, is_complete, write_coco
from .shapes import texture

_RECIPE = 2  # Raise when the pictures change, so that data sets on disk are made again.
_MIN_VISIBLE = 0.5  # Share of a garment that has to stay in sight.
_CLIPPING = (0.15, 0.3)  # Share of a garment that a clipping shows.
_TRIES = 20  # Places tried for a thing before it is given up.
_SIDE = 30  # of a garment's image with a border of one pixel
_THRESHOLD = 16  # Above it, a pixel is the garment's and not its ground's.
CLASSES = ('top', 'trouser', 'dress', 'shoe', 'bag')  # few, so that each has garments enough
CLASS_OF = (0, 1, 0, 2, 0, 3, 0, 3, 4, 3)  # each of Fashion-MNIST's, T-shirt to ankle boot
_SPECK = 12  # Pixels of the source below which a hole is closed and a part left out.


@dataclass(frozen=True)
class ScenesSpec:
    """What to generate."""

    num_images: int
    size: tuple[int, int] = (160, 128)  # width and height in pixels
    objects: tuple[int, int] = (3, 8)  # tried for an image; one that finds no place is left out
    scales: tuple[float, float] = (0.6, 2.5)  # of 28 pixels; uniform in the logarithm
    distractors: tuple[int, int] = (1, 3)
    seed: int = 0


def make_scenes(root: Path | str, source: str, train: ScenesSpec, val: ScenesSpec) -> Path:
    """Write ``root/train``, ``root/val`` and annotations unless they are complete; return root.

    ``source`` is the ``data_root`` of :class:`TorchvisionImages` for Fashion-MNIST, which raises
    ConfigError where it is missing.
    """
    for split, spec, part in (('train', train, 'train'), ('val', val, 'test')):
        info = {
            'description': "semi-synthetic scenes of Fashion-MNIST's garments (Zalando SE, MIT)",
            'recipe': _RECIPE,
            'source': f"Fashion-MNIST's {part} file; images' sources are places in it",
            **asdict(spec),
        }
        if not is_complete(Path(root), split, info):
            data = TorchvisionImages('FashionMNIST', source, split=part)
            labels = [CLASS_OF[data.get_data_info(i)['gt_label']] for i in range(len(data))]
            samples = generate(spec, data.images[:, 0].numpy(), labels, split)
            write_coco(Path(root), split, samples, CLASSES, info)
    return Path(root)


def generate(
    spec: ScenesSpec, images: NDArray[np.uint8], labels: Sequence[int], split: str = 'train'
) -> Iterator[Sample]:
    """Yield the scenes of a split, with their visible parts as masks.

    ``images`` are garments (N, 28, 28), 0 outside, ``labels`` their N classes. Each sample's
    ``sources`` note the places of all images that it shows, clippings, too.
    """
    width, height = spec.size
    margin = math.ceil(_SIDE * spec.scales[1])  # things may reach over the border
    inside = (slice(margin, margin + height), slice(margin, margin + width))
    for index in range(spec.num_images):
        rng = np.random.default_rng([spec.seed, ('train', 'val').index(split), 1, index])
        kinds = ['garment'] * int(rng.integers(*spec.objects, endpoint=True))
        count = int(rng.integers(*spec.distractors, endpoint=True))
        kinds += rng.choice(['patch', 'clipping'], count).tolist()
        scene = _ground((width + 2 * margin, height + 2 * margin), rng)
        front = np.zeros(scene.shape, dtype=np.int64)  # number of the thing in front, 0 is ground
        labelled = [-1]  # class of each thing, -1 where it has no label
        needed = [0.0]  # its pixels that have to stay visible
        sources: list[int] = []
        for kind in rng.permutation(kinds):  # from the back to the front
            place = int(rng.integers(len(images)))
            grey, alpha = _thing(str(kind), images[place], spec.scales, rng)
            is_garment = kind == 'garment'
            least = [*needed, is_garment * _MIN_VISIBLE * float((alpha > 0.5).sum())]
            for _ in range(_TRIES):
                corner = margin + rng.integers((height, width)) - len(alpha) // 2
                window = tuple(slice(c, c + len(alpha)) for c in corner.tolist())
                trial = front.copy()
                trial[window][alpha > 0.5] = len(needed)
                visible = np.bincount(trial[inside].ravel(), minlength=len(least))
                if (visible >= least).all():
                    scene[window] += alpha * (grey - scene[window])
                    front, needed = trial, least
                    labelled.append(labels[place] if is_garment else -1)
                    sources += [place] * (kind != 'patch')
                    break
        image = scene[inside] + rng.normal(0, rng.uniform(2, 8), (height, width))
        pixels = np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        objects = [(c, front[inside] == i) for i, c in enumerate(labelled) if c >= 0]
        yield Sample(f'scene_{index:05d}.png', pixels, objects, {'sources': sources})


def _ground(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw smooth noise (H, W) of random level and strength with some lines on it."""
    ground = rng.uniform(20, 120) + texture(size, rng, rng.uniform(2, 10))[..., 0]
    for _ in range(rng.integers(5)):
        start, end = rng.integers(size, size=(2, 2)).tolist()
        cv2.line(ground, start, end, [rng.uniform(0, 255)], int(rng.integers(1, 4)), cv2.LINE_AA)
    return ground


def _thing(
    kind: str, image: NDArray[np.uint8], scales: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return grey values and opacity (S, S) of a garment, of its clipping or of a noise patch."""
    source = np.pad(image, (_SIDE - len(image)) // 2).astype(np.float64)
    mask = _silhouette(source)
    # Pixels at the rim are part garment, part the ground it was on: they take a neighbour's grey.
    rim = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) == 0)
    source[rim] = cv2.dilate(source, np.ones((3, 3)))[rim]
    rows, columns = np.indices(mask.shape)
    if kind == 'clipping':
        angle = rng.uniform(0, 2 * math.pi)
        along = rows * math.cos(angle) + columns * math.sin(angle)
        mask &= along > np.quantile(along[mask], 1 - rng.uniform(*_CLIPPING))
    elif kind == 'patch':
        noise = texture((_SIDE, _SIDE), rng, 60)
        radius = np.hypot(rows - _SIDE / 2, columns - _SIDE / 2)
        mask = radius < np.minimum(10 + noise[..., 0] / 15, _SIDE / 2 - 1)
        source = 128 + noise[..., 1]
    span = rng.uniform(120, 220)  # of any level and contrast, whatever the ground is
    source = rng.uniform(0, 255 - span) + source / 255 * span
    side = round(_SIDE * math.exp(rng.uniform(*np.log(scales))))
    turn = int(rng.integers(4))
    layers = np.rot90(np.stack([source * mask, mask.astype(float)], axis=2), turn)
    if rng.random() < 0.5:
        layers = layers[:, ::-1]
    method = cv2.INTER_AREA if side < _SIDE else cv2.INTER_LINEAR
    grey, alpha = np.moveaxis(cv2.resize(layers, (side, side), interpolation=method), 2, 0)
    grey = grey / np.maximum(alpha, 1e-6)  # of the garment alone: no rim of its old ground
    return grey, np.clip((alpha - 0.5) * max(1, side / _SIDE) + 0.5, 0, 1)


def _silhouette(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a garment's mask; specks and the small holes of white cloth become what is around."""
    mask = (image > _THRESHOLD).astype(np.uint8)
    for value in (0, 1):
        _, parts = cv2.connectedComponents((mask == value).astype(np.uint8), connectivity=4)
        areas = np.bincount(parts.ravel())
        areas[0] = _SPECK  # part 0 is what has the other value
        mask[areas[parts] < _SPECK] = 1 - value
    return mask.astype(bool)
