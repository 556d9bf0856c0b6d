"""Images with their labels beside trained detectors' predictions."""

import copy
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from matplotlib.figure import Figure
from mmdet.structures import INSTANCE_OFFSET
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torchvision.ops import masks_to_boxes

from ..engine.coco_check import class_names
from ..engine.hooks.bad_images import check_loading
from ..engine.pixels import as_rgb, load_image
from .canvas import new_figure
from .objects import draw_objects


def picture_predictions(
    cfg: Config,
    models: Mapping[str, Any],
    num_images: int = 4,
    score_threshold: float = 0.5,
    title: str = '',
    files: Sequence[Path] = (),
) -> Figure:
    """Draw images, their labels and what detectors find in them, one row per image.

    Args:
        cfg: Config with the validation data; labels are drawn if its pipeline loads them.
        models: Trained detectors by name; they are in evaluation mode afterwards.
        num_images: How many, the first of the validation.
        score_threshold: Predictions below this score are left out.
        title: Of the whole picture.
        files: Images instead, without labels; classes are those of a detector's ``dataset_meta``.
    """
    if files:
        loader = cfg.get('test_dataloader') or cfg.val_dataloader
        steps = get_test_pipeline_cfg(ConfigDict(test_dataloader=loader))  # of a wrapped one, too
        dataset: Any = SimpleNamespace(pipeline=Compose(steps))
        classes = next(iter(models.values())).dataset_meta['classes']
        loaded = ({'img_path': str(file), 'img_id': 0, 'instances': []} for file in files)
        batches: Any = (pseudo_collate([dataset.pipeline(one)]) for one in loaded)
    else:
        batches = Runner.build_dataloader(cfg.val_dataloader, seed=0)
        dataset = batches.dataset
        check_loading(dataset)
        classes = class_names(dataset)
    with torch.no_grad():  # predictions are written into the batch's samples
        steps = ([m.eval().test_step(copy.deepcopy(b)) for m in models.values()] for b in batches)
        found = chain.from_iterable(zip(*results, strict=True) for results in steps)
        rows = list(islice(found, len(files) or num_images))
    # A validation's pipeline need not load labels.
    labelled = not files and all('bboxes' in samples[0].gt_instances for samples in rows)
    columns = 1 + labelled + len(models)
    figure = new_figure(3.5 * columns, 3.45 * len(rows) + 0.5, title)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, samples in zip(grid, rows, strict=True):
        image = as_rgb(load_image(dataset, samples[0].img_path))
        shown = [(Path(samples[0].img_path).name, image)]
        if labelled:
            labels = samples[0].gt_instances
            shown.append((f'labels: {len(labels)}', draw_objects(image, labels, classes)))
        for name, sample in zip(models, samples, strict=True):
            objects = found_objects(sample, len(classes))
            objects = objects[objects.scores >= score_threshold]
            name += f'\nwith score >= {score_threshold:g}: {len(objects)}'
            shown.append((name, draw_objects(image, objects, classes)))
        for axes, (text, pixels) in zip(row, shown, strict=True):
            axes.imshow(pixels)
            axes.set_title(text, fontsize=9)
            axes.set_axis_off()
    return figure


def found_objects(sample: Any, classes: int) -> Any:
    """Return predicted objects, or the segments of a panoptic map, each with a score of 1."""
    if 'pred_instances' in sample:
        return sample.pred_instances
    segments = sample.pred_panoptic_seg.sem_seg[0].cpu().long()
    ids = segments.unique()
    ids = ids[ids % INSTANCE_OFFSET < classes]  # not what has no class
    masks = segments == ids[:, None, None]
    labels, scores = ids % INSTANCE_OFFSET, torch.ones(len(ids))
    return InstanceData(bboxes=masks_to_boxes(masks), labels=labels, masks=masks, scores=scores)
