"""Generated circles, squares and triangles on textured ground, in COCO's format with polygons.

Every image is a function of (seed, split, index) alone: making more images, or one split without
the other, changes none of them.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import affinity, get_parts
from shapely.geometry import Point, Polygon, box

from .coco_writer import Sample, is_complete, rasterize, write_coco

CLASSES = ('circle', 'square', 'triangle')

_RECIPE = 2  # Raise when the pictures change, so that data sets on disk are made again.
_MIN_VISIBLE = 0.4  # Share of an object that has to stay in sight.
_MIN_AREA = 20.0  # Visible pixels below which an object is not worth a label.
_TRIES = 20  # Positions tried for an object before it is given up.

_Shape = tuple[int, Polygon]  # an object before occlusion: its class and outline in pixels


@dataclass(frozen=True)
class ShapesSpec:
    """What to generate."""

    num_images: int
    size: tuple[int, int] = (160, 160)  # width and height in pixels, at least 32 each
    objects: tuple[int, int] = (2, 7)  # tried for an image; one that finds no place is left out
    # Of the circle around an object, as a share of the shorter side; uniform in the logarithm.
    radius: tuple[float, float] = (0.06, 0.22)
    seed: int = 0


def make_shapes(root: Path | str, train: ShapesSpec, val: ShapesSpec) -> Path:
    """Write ``root/train``, ``root/val`` and annotations unless they are complete; return root."""
    root = Path(root)
    for split, spec in (('train', train), ('val', val)):
        info = {'description': 'generated shapes', 'recipe': _RECIPE, **asdict(spec)}
        if not is_complete(root, split, info):
            write_coco(root, split, generate(spec, split), CLASSES, info)
    return root


def generate(spec: ShapesSpec, split: str = 'train') -> Iterator[Sample]:
    """Yield the images of a split, their visible parts as polygons."""
    for index in range(spec.num_images):
        rng = np.random.default_rng([spec.seed, ('train', 'val').index(split), 0, index])
        scene: list[_Shape] = []
        visible: list[list[Polygon]] = []
        for _ in range(int(rng.integers(spec.objects[0], spec.objects[1] + 1))):
            for _ in range(_TRIES):
                candidate = [*scene, _random_shape(spec, rng)]  # later ones are in front
                parts = _visible_parts(candidate, spec.size)
                if parts is not None:
                    scene, visible = candidate, parts
                    break
        labels = [
            (category, [_ring(part) for part in parts])
            for (category, _), parts in zip(scene, visible, strict=True)
        ]
        yield Sample(f'shapes_{index:05d}.png', _paint(scene, spec.size, rng), labels)


def _random_shape(spec: ShapesSpec, rng: np.random.Generator) -> _Shape:
    """Draw a circle, square or triangle of random size, turn and place, centred in the image."""
    low, high = (math.log(r * min(spec.size)) for r in spec.radius)
    radius = math.exp(rng.uniform(low, high))
    category = int(rng.integers(len(CLASSES)))
    centre = rng.uniform((0.0, 0.0), spec.size)
    if CLASSES[category] == 'circle':
        outline = Point(0, 0).buffer(1.0, quad_segs=12)
    else:
        corners = 4 if CLASSES[category] == 'square' else 3
        angles = [2 * math.pi * k / corners for k in range(corners)]
        outline = Polygon([(math.cos(a), math.sin(a)) for a in angles])
    turned = affinity.rotate(outline, rng.uniform(0, 360), origin=(0, 0))
    scaled = affinity.scale(turned, radius, radius, origin=(0, 0))
    return category, affinity.translate(scaled, float(centre[0]), float(centre[1]))


def _visible_parts(scene: list[_Shape], size: tuple[int, int]) -> list[list[Polygon]] | None:
    """Return what objects in front and the image's border leave of each object, but slivers.

    None if too little is left of one, or a part with holes, which polygons cannot say.
    """
    visible = []
    for index, (_, outline) in enumerate(scene):
        rest = outline.intersection(box(0, 0, *size))
        for _, other in scene[index + 1 :]:
            rest = rest.difference(other)
        parts = [part for part in get_parts(rest) if part.area >= 1.0]
        area = sum(part.area for part in parts)
        if area < max(_MIN_AREA, _MIN_VISIBLE * outline.area) or any(p.interiors for p in parts):
            return None
        visible.append(parts)
    return visible


def _ring(polygon: Polygon) -> list[float]:
    """Return the outer ring [x1, y1, x2, y2, ...], to a hundredth of a pixel, not closed."""
    points = np.asarray(polygon.exterior.coords)[:-1]
    return [round(float(value), 2) for value in points.reshape(-1)]


def _paint(
    scene: list[_Shape], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw the scene (H, W, 3) from the back to the front."""
    # A grey ground and coloured objects: to be told apart by shape, and found in minutes.
    ground = np.full(3, rng.uniform(70, 185))
    image = ground + texture(size, rng, strength=12)
    for _, outline in scene:
        # COCO's own rasteriser paints, so that pixels and labels agree.
        mask = rasterize([_ring(outline)], size[1], size[0])
        colour: NDArray[np.float64] = ground
        while np.abs(colour - ground).mean() < 60:  # grey levels
            colour = rng.uniform(0, 255, size=3)
        image[mask] = (colour + texture(size, rng, strength=6))[mask]
    image += rng.normal(0, 6, size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def texture(
    size: tuple[int, int], rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Draw smooth noise (H, W, 3) at two scales, of a deviation of about ``strength``."""
    width, height = size
    total = np.zeros((height, width, 3))
    for cell in (8, 24):
        coarse = rng.normal(0, strength, size=(height // cell + 2, width // cell + 2, 3))
        total += np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), dtype=float)
    return total
