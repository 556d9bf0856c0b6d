"""How many images a second the training pipeline of a config makes on one core.

It is compared with torchvision's reference for classification on the same JPEG files: decode with
PIL, random resized crop, flip, tensor, floats, normalise. That changes no colours, so a pipeline
that does is measured without, and with, beside a reference that has torchvision's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from PIL import Image
from torchvision.transforms import v2

from ..classification.transforms import Lighting
from ..engine.atomic import write_atomically
from .timed import Timed

COLOUR = ('torchvision/ColorJitter', 'Lighting')
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Pipeline = Callable[[Path], Any]
"""From a file to what a batch is made of."""


@dataclass
class PipelineSpeed(Timed):
    """Time of a pipeline.

    Attributes:
        name: Which one.
        seconds: Of the processor for an image, a mean over the files, of each round.
    """

    name: str
    seconds: list[float] = field(default_factory=list)


def make_jpegs(
    folder: Path, count: int, size: tuple[int, int] = (375, 500), quality: int = 90
) -> list[Path]:
    """Write JPEG files with the detail of photographs.

    Args:
        folder: Where to.
        count: Number of files.
        size: Height and width in pixels; ImageNet's mean is about 400 x 470.
        quality: JPEG's.

    Returns:
        Their paths.
    """
    generator = np.random.default_rng(0)
    paths = [folder / f'{index}.jpg' for index in range(count)]
    for path in paths:
        content = BytesIO()
        Image.fromarray(_picture(generator, size)).save(content, format='JPEG', quality=quality)
        write_atomically(content.getvalue(), path)
    return paths


def _picture(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Noise (H, W, 3) whose amplitude falls with its frequency, as in photographs."""
    height, width = size
    total = np.zeros((height, width, 3))
    for cell in (1, 2, 4, 8, 16, 32, 64, 128):
        grid = (height // cell + 2, width // cell + 2, 3)
        noise = generator.normal(size=grid).astype(np.float32)
        total += cell**0.25 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    spread = 55 * total / total.std() + 118
    return spread.clip(0, 255).astype(np.uint8)


def pipelines_of(config_pipeline: Sequence[dict[str, Any]]) -> dict[str, Pipeline]:
    """A config's pipeline and torchvision's reference, each without and with changes of colour.

    Args:
        config_pipeline: ``train_dataloader.dataset.pipeline``, with a ``RandomResizedCrop``.

    Raises:
        ValueError: If it has none.
    """
    crops = [t['size'] for t in config_pipeline if 'RandomResizedCrop' in t['type']]
    if not crops:
        kinds = ', '.join(t['type'] for t in config_pipeline)
        raise ValueError(
            f'the pipeline has {kinds}, expected a torchvision/RandomResizedCrop, since the '
            'reference has one: give one of configs/classification/resnet50_imagenet*.py'
        )
    uncoloured = [t for t in config_pipeline if t['type'] not in COLOUR]
    coloured = [t for t in config_pipeline if t['type'] in COLOUR]
    found = {
        'ours, crop and flip': _ours(uncoloured),
        "torchvision's, crop and flip": reference(crops[0], []),
    }
    if coloured:
        found['ours'] = _ours(config_pipeline)
        found["torchvision's, with our colours"] = reference(crops[0], coloured)
    return found


def _ours(transforms: Sequence[dict[str, Any]]) -> Pipeline:
    """A pipeline of a config."""
    compose = Compose([dict(transform) for transform in transforms])
    return lambda path: compose({'img_path': str(path), 'gt_label': 0})


def reference(crop: int, colours: Sequence[dict[str, Any]]) -> Pipeline:
    """torchvision's reference for training classifiers, with changes of colour if given any.

    Args:
        crop: Height and width of what comes out, in pixels.
        colours: Configs of a ``ColorJitter``, which then works on PIL images as is usual, and of
            ``Lighting``, which torchvision lacks: ours, on bytes.
    """
    options = {t['type']: {k: v for k, v in t.items() if k != 'type'} for t in colours}
    on_images = [v2.RandomResizedCrop(crop), v2.RandomHorizontalFlip()]
    if COLOUR[0] in options:
        on_images.append(v2.ColorJitter(**options[COLOUR[0]]))
    on_images.append(v2.PILToTensor())
    if COLOUR[1] in options:
        lighting = Lighting(**options[COLOUR[1]])
        on_images.append(lambda image: lighting({'img': image})['img'])
    on_images += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    transform = v2.Compose(on_images)

    def load(path: Path) -> Any:
        with open(path, 'rb') as file:
            return transform(Image.open(file).convert('RGB'))

    return load


def measure_speeds(
    pipelines: dict[str, Pipeline], paths: Sequence[Path], rounds: int
) -> list[PipelineSpeed]:
    """Run all pipelines on all files in turn, on one thread.

    Times are the processor's for this process, so that other work on the machine disturbs little.

    Args:
        pipelines: By name.
        paths: The files.
        rounds: Rounds that are measured, after one that is not.
    """
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        speeds = {name: PipelineSpeed(name) for name in pipelines}
        for number in range(rounds + 1):
            for name, pipeline in pipelines.items():
                torch.manual_seed(number)
                start = time.process_time()
                for path in paths:
                    pipeline(path)
                if number:
                    speeds[name].seconds.append((time.process_time() - start) / len(paths))
        return list(speeds.values())
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
