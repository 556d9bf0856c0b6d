"""Generated circles, squares and triangles on textured ground, in COCO's format with polygons.

Every image is a function of (seed, split, index) alone: making more images, or one split without
the other, changes none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from ..engine.out_dir import make_out_dir
from .coco_writer import (
    Instance,
    Sample,
    annotation_path,
    is_complete,
    rasterize,
    write_coco,
)

CLASSES = ('circle', 'square', 'triangle')

_RECIPE = 2  # Raise when the pictures change, so that data sets on disk are made again.
_MIN_VISIBLE = 0.4  # No object may be hidden by more than the rest of this share.
_MIN_AREA = 20.0  # Visible pixels below which an object is not worth a label.
_TRIES = 20  # Positions tried for an object before it is given up.
_SPLIT_KEYS = {'train': 0, 'val': 1}


@dataclass(frozen=True)
class ShapesSpec:
    """What to generate.

    Attributes:
        num_images: Ordinary images, each with at least one object.
        num_empty: Further images without any object.
        num_crowd: Further images whose only label is a crowd region.
        size: (width, height) of an image in pixels.
        objects: Fewest and most objects tried for an image; one that finds no place is left out.
        radius: Smallest and largest radius of the circle around an object, as a share of the
            image's shorter side; drawn uniformly in the logarithm, so that small ones are common.
        seed: Seed of all images.
    """

    num_images: int = 32
    num_empty: int = 0
    num_crowd: int = 0
    size: tuple[int, int] = (160, 160)
    objects: tuple[int, int] = (2, 7)
    radius: tuple[float, float] = (0.06, 0.22)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_images, self.num_empty, self.num_crowd) < 0:
            raise ValueError(
                'image counts must be 0 or more; got '
                f'{self.num_images}, {self.num_empty}, {self.num_crowd}'
            )
        if min(self.size) < 32:
            raise ValueError(f'size {self.size}: expected at least (32, 32) pixels')
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(f'objects {self.objects}: expected 1 <= fewest <= most')
        if not 0 < self.radius[0] <= self.radius[1] <= 0.5:
            raise ValueError(f'radius {self.radius}: expected 0 < smallest <= largest <= 0.5')


def make_shapes(
    root: Path | str, train: ShapesSpec | None = None, val: ShapesSpec | None = None
) -> Path:
    """Write ``root/train``, ``root/val`` and their annotations; what is there already stays.

    Args:
        root: Folder of the data set.
        train: What to generate for training; ``ShapesSpec()`` by default.
        val: What to generate for validation; a quarter as many images of the same kind by default.

    Returns:
        ``root`` as a path.

    Raises:
        OSError: If the folder cannot be made or written to.
    """
    root = Path(root)
    train = train or ShapesSpec()
    val = val or ShapesSpec(**{**asdict(train), 'num_images': max(train.num_images // 4, 1)})
    for split, spec in (('train', train), ('val', val)):
        info = _info(spec)
        if not is_complete(root, split, info):
            make_out_dir('data set folder (--out)', root, 'its images')
            # A spec that changed must not leave the old labels beside half of the new images.
            annotation_path(root, split).unlink(missing_ok=True)
            write_coco(root, split, generate(spec, split), CLASSES, info)
    return root


def generate(spec: ShapesSpec, split: str = 'train') -> Iterator[Sample]:
    """Yield the images of a split: the ordinary ones, then those without objects, then crowds.

    Args:
        spec: What to generate.
        split: ``train`` or ``val``; the two never share an image.

    Yields:
        One :class:`Sample` an image.
    """
    kinds: list[tuple[str, int, Callable[[ShapesSpec, np.random.Generator], _Scene]]] = [
        ('shapes', spec.num_images, _ordinary_scene),
        ('empty', spec.num_empty, lambda spec, rng: []),
        ('crowd', spec.num_crowd, _ordinary_scene),
    ]
    for number, (kind, count, make_scene) in enumerate(kinds):
        for index in range(count):
            rng = np.random.default_rng([spec.seed, _SPLIT_KEYS[split], number, index])
            scene = make_scene(spec, rng)
            image = _paint(scene, spec.size, rng)
            labels = _crowd(scene, spec.size) if kind == 'crowd' else _labels(scene, spec.size)
            yield Sample(f'{kind}_{index:05d}.png', image, labels)


@dataclass(frozen=True)
class _Shape:
    """One object before occlusion: its class and outline in pixels."""

    category: int
    outline: Polygon


_Scene = list[_Shape]  # From the back to the front.


def _info(spec: ShapesSpec) -> dict[str, Any]:
    """The annotation file's ``info``: the recipe, in types that JSON gives back as they are."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
    return {'description': 'generated shapes', 'recipe': _RECIPE, **plain}


def _ordinary_scene(spec: ShapesSpec, rng: np.random.Generator) -> _Scene:
    """Objects at random places, later ones in front, none hidden too much."""
    scene: _Scene = []
    for _ in range(int(rng.integers(spec.objects[0], spec.objects[1] + 1))):
        for _ in range(_TRIES):
            candidate = _random_shape(spec, rng)
            if _fits([*scene, candidate], spec.size):
                scene.append(candidate)
                break
    return scene


def _random_shape(spec: ShapesSpec, rng: np.random.Generator) -> _Shape:
    """A circle, square or triangle of random size, turn and place, its centre in the image."""
    low, high = (math.log(r * min(spec.size)) for r in spec.radius)
    radius = math.exp(rng.uniform(low, high))
    category = int(rng.integers(len(CLASSES)))
    centre = rng.uniform((0.0, 0.0), spec.size)
    turned = affinity.rotate(_unit_outline(category), rng.uniform(0, 360), origin=(0, 0))
    scaled = affinity.scale(turned, radius, radius, origin=(0, 0))
    return _Shape(category, affinity.translate(scaled, float(centre[0]), float(centre[1])))


def _unit_outline(category: int) -> Polygon:
    """Outline of a class inside the unit circle around (0, 0)."""
    if CLASSES[category] == 'circle':
        return Point(0, 0).buffer(1.0, quad_segs=12)
    corners = 4 if CLASSES[category] == 'square' else 3
    angles = [2 * math.pi * k / corners for k in range(corners)]
    return Polygon([(math.cos(a), math.sin(a)) for a in angles])


def _fits(scene: _Scene, size: tuple[int, int]) -> bool:
    """Whether every object keeps enough to be seen, without holes, which polygons cannot say."""
    for shape, visible in zip(scene, _visible_parts(scene, size), strict=True):
        parts = _pieces(visible)
        area = sum(part.area for part in parts)
        if area < max(_MIN_AREA, _MIN_VISIBLE * shape.outline.area):
            return False
        if any(part.interiors for part in parts):
            return False
    return True


def _visible_parts(scene: _Scene, size: tuple[int, int]) -> list[BaseGeometry]:
    """What objects in front and the image's border leave of each object."""
    frame = box(0, 0, *size)
    visible: list[BaseGeometry] = []
    for index, shape in enumerate(scene):
        part: BaseGeometry = shape.outline.intersection(frame)
        for other in scene[index + 1 :]:
            part = part.difference(other.outline)
        visible.append(part)
    return visible


def _pieces(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons of a geometry that are more than a sliver."""
    parts = geometry.geoms if isinstance(geometry, MultiPolygon) else [geometry]
    return [part for part in parts if isinstance(part, Polygon) and part.area >= 1.0]


def _labels(scene: _Scene, size: tuple[int, int]) -> list[Instance]:
    """Polygons of the visible parts, to a hundredth of a pixel."""
    return [
        Instance(shape.category, polygons=[_ring(part) for part in _pieces(visible)])
        for shape, visible in zip(scene, _visible_parts(scene, size), strict=True)
    ]


def _crowd(scene: _Scene, size: tuple[int, int]) -> list[Instance]:
    """One crowd label over all objects of a scene, of the class of the first."""
    if not scene:
        return []
    rings = [_ring(shape.outline) for shape in scene]
    mask = rasterize(rings, size[1], size[0])
    return [Instance(scene[0].category, mask=mask, iscrowd=True)]


def _ring(polygon: Polygon) -> list[float]:
    """[x1, y1, x2, y2, ...] of the outer ring, the closing point left out."""
    points = np.asarray(polygon.exterior.coords)[:-1]
    return [round(float(value), 2) for value in points.reshape(-1)]


def _paint(scene: _Scene, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the scene from the back to the front; returns (H, W, 3) uint8."""
    width, height = size
    # A grey ground and coloured objects: to be told apart by shape, and found in minutes.
    ground = np.full(3, rng.uniform(70, 185))
    image = ground + _texture(size, rng, strength=12)
    for shape in scene:
        # COCO's own rasteriser paints, so that pixels and labels agree.
        mask = rasterize([_ring(shape.outline)], height, width)
        image[mask] = (_contrasting(ground, rng) + _texture(size, rng, strength=6))[mask]
    image += rng.normal(0, 6, size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _texture(
    size: tuple[int, int], rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Smooth noise at two scales, (H, W, 3), standard deviation about ``strength``."""
    width, height = size
    total = np.zeros((height, width, 3))
    for cell in (8, 24):
        coarse = rng.normal(0, strength, size=(height // cell + 2, width // cell + 2, 3))
        total += np.asarray(
            cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float64
        )
    return total


def _contrasting(ground: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour at least 60 grey levels from the ground in the mean of the channels."""
    while True:
        colour = rng.uniform(0, 255, size=3)
        if np.abs(colour - ground).mean() >= 60:
            return np.asarray(colour)
