"""Pictures of a trained detector: its predictions on validation images, and one training step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.apis import init_detector
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from ..checkpoints.safe_loading import safe_loading
from .colours import network_sees_bgr, statistics_of
from .objects import objects_of
from .predictions import LabelledImage, save_predictions
from .recorder import recording_passes
from .subnets import save_subnets


@dataclass(frozen=True)
class TrainedRun:
    """A config and the detector it trained."""

    config: Config
    model: nn.Module

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, by index."""
        return list(self.model.dataset_meta['classes'])  # type: ignore[index, arg-type]


def load_run(config: Config, checkpoint: Path | str, device: str = 'cpu') -> TrainedRun:
    """Load a detector the way mmdet's own ``init_detector`` does, as data only."""
    with safe_loading():
        return TrainedRun(config, init_detector(config, str(checkpoint), device=device))


def picture_predictions(
    run: TrainedRun,
    path: Path | str,
    num_images: int = 4,
    score_threshold: float = 0.5,
    title: str = '',
) -> Path:
    """Draw the first validation images with labels beside predictions; returns the path."""
    loader = Runner.build_dataloader(run.config.val_dataloader, seed=0)
    rows = list(_predicted(run.model, loader, num_images))
    return save_predictions(rows, path, run.class_names, score_threshold, title)


def picture_subnets(run: TrainedRun, path: Path | str, image: int = 0, title: str = '') -> Path:
    """Run one training step on a batch and draw what each pass saw; returns the path.

    The step is the one of training, with a learning rate of 0, so parameters stay as they are.
    BatchNorm's running statistics do not: use the model for nothing else afterwards.
    """
    loader = Runner.build_dataloader(run.config.train_dataloader, seed=0)
    model = run.model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with recording_passes(model, image) as views:
        model.train_step(next(iter(loader)), OptimWrapper(optimizer))  # type: ignore[operator]
    preprocessor: Any = model.data_preprocessor
    bgr = network_sees_bgr(run.config.model.data_preprocessor, run.config.train_dataloader.dataset)
    return save_subnets(views, path, *statistics_of(preprocessor), title, bgr=bgr)


def _predicted(
    model: nn.Module, loader: Iterable[dict[str, Any]], num_images: int
) -> Iterable[LabelledImage]:
    """The first images of a loader with labels and predictions, in pixels of the image files."""
    model.eval()
    found = 0
    for batch in loader:
        with torch.no_grad():
            samples: list[DetDataSample] = model.test_step(batch)  # type: ignore[operator]
        for sample in samples[: num_images - found]:
            found += 1
            yield _labelled(sample)
        if found >= num_images:
            return


def _labelled(sample: DetDataSample) -> LabelledImage:
    """A row of the picture from what mmdet's test step gives.

    Raises:
        FileNotFoundError: If the image file cannot be read.
        ValueError: If the sample has no labels to show.
    """
    if 'gt_instances' not in sample:
        raise ValueError(
            'the validation pipeline loads no labels to draw, expected '
            "dict(type='LoadAnnotations', with_bbox=True) in val_dataloader.dataset.pipeline"
        )
    path = Path(sample.img_path)
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(f'{path}: expected an image file of the validation set')
    image = np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8)
    return LabelledImage(
        path.name, image, objects_of(sample.gt_instances), objects_of(sample.pred_instances)
    )
