"""Validation images with their labels beside a trained detector's predictions."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.runner import Runner

from ..engine.hooks.bad_images import check_loading
from ..engine.pixels import as_rgb, load_image
from .canvas import new_figure
from .objects import draw_objects


def picture_predictions(
    cfg: Config, model: Any, num_images: int = 4, score_threshold: float = 0.5, title: str = ''
) -> Figure:
    """Draw the first validation images, their labels and predictions, one row per image.

    Args:
        cfg: Config with the validation data, whose pipeline loads labels.
        model: The trained detector; it is in evaluation mode afterwards.
        num_images: How many.
        score_threshold: Predictions below this score are left out.
        title: Of the whole picture.
    """
    loader = Runner.build_dataloader(cfg.val_dataloader, seed=0)
    check_loading(loader.dataset)
    classes = loader.dataset.metainfo['classes']
    with torch.no_grad():
        batches = map(model.eval().test_step, loader)
        samples = list(islice(chain.from_iterable(batches), num_images))
    figure = new_figure(10.5, 3.45 * len(samples) + 0.5, title)
    grid = figure.subplots(len(samples), 3, squeeze=False)
    for row, sample in zip(grid, samples, strict=True):
        image = as_rgb(load_image(loader.dataset, sample.img_path))
        labels = sample.gt_instances
        found = sample.pred_instances[sample.pred_instances.scores >= score_threshold]
        names = (
            Path(sample.img_path).name,
            f'labels: {len(labels)}',
            f'predictions with score >= {score_threshold:g}: {len(found)}',
        )
        pictures = (image, *(draw_objects(image, objects, classes) for objects in (labels, found)))
        for axes, name, pixels in zip(row, names, pictures, strict=True):
            axes.imshow(pixels)
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()
    return figure
