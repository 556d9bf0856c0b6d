"""What the full network and every sub-network see of a training image, as training draws it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor

from ..classification import GradAugClassifier
from ..detection.labels import move_samples
from ..engine.coco_check import class_names
from ..engine.hooks.bad_images import check_loading
from ..engine.pixels import as_rgb, shown_range
from ..evaluation.random_batch import stand_in_for_runner
from ..training import Subnet
from ..training.step import transformed
from .canvas import new_figure, save_figure
from .objects import draw_objects


@dataclass(frozen=True)
class SubnetView:
    """One pass over an image: its pixels (H, W, 3), RGB, as the network gets them."""

    name: str
    pixels: NDArray[np.uint8]
    width: float = 1.0
    depth: float | None = None  # share of the residual blocks, where that is drawn
    scale: tuple[float, float] = (1.0, 1.0)  # x and y, relative to the full pass
    labels: DetDataSample | None = None  # a detector's, in pixels of the image

    @property
    def caption(self) -> str:
        """The pass, its width, depth and scale; in a second line the image's size and labels."""
        height, width = self.pixels.shape[:2]
        x, y = self.scale
        scale = f'{x:.3g}' if math.isclose(x, y, rel_tol=5e-3) else f'{x:.3g} x {y:.3g}'
        depth = '' if self.depth is None else f', depth {self.depth:.3g}'
        text = f'{self.name}: width {self.width:.3g}{depth}, scale {scale}\n{width} x {height} px'
        if self.labels is not None:
            text += f', {len(self.labels.gt_instances)} labels'
            ignored = len(self.labels.get('ignored_instances', ()))
            text += f', {ignored} ignored' if ignored else ''
        return text


def picture_subnets(
    cfg: Config, model: Any, paths: Sequence[Path], image: int = 0, seed: int = 0, title: str = ''
) -> None:
    """Draw an image of a training batch as each pass of an iteration sees it. No network runs.

    Args:
        cfg: Config of a GradAug detector or classifier, with the training data.
        model: Of that config.
        paths: PNG files to write, one per iteration.
        image: Index of the image in its batch.
        seed: Of the order of the data, and of widths and transforms if the config has none.
        title: Of the pictures; the iteration and a classifier's class are added.
    """
    stand_in_for_runner()
    here = {'num_workers': 0, 'persistent_workers': False, 'prefetch_factor': None}
    loader = Runner.build_dataloader({**cfg.train_dataloader, **here}, seed=seed)
    check_loading(loader.dataset)
    classes = class_names(loader.dataset)
    seed = seed if model.gradaug.seed is None else model.gradaug.seed
    # mmcv loads images as BGR, and either option of mmdet's preprocessor swaps that to RGB.
    options = cfg.model.get('data_preprocessor') or {}
    swapped = options.get('bgr_to_rgb') or options.get('rgb_to_bgr')
    bgr = not swapped and not isinstance(model, GradAugClassifier)
    batches = chain.from_iterable(repeat(loader))  # small data sets have few
    for iteration, (path, data) in enumerate(zip(paths, batches, strict=False)):
        batch = model.data_preprocessor(data, True)
        label = batch['data_samples'][image]
        words = [title, f'iteration {iteration}']
        if isinstance(label, Tensor):
            words.append(classes_of(label, classes))
        views = views_of(model, batch, model.sampler.sample(seed, iteration), image, bgr)
        save_subnets(views, path, classes, ', '.join(filter(None, words)))


def views_of(
    model: Any, batch: dict[str, Any], subnets: Sequence[Subnet], image: int, bgr: bool = False
) -> list[SubnetView]:
    """Return what the full network and the sub-networks of an iteration see of an image.

    ``image`` is its index in the preprocessed batch; ``bgr`` says that channels are blue, green,
    red.
    """
    images, label = batch['inputs'], batch['data_samples'][image]
    detects = isinstance(label, DetDataSample)
    full = loaded_values(images[image], model.data_preprocessor)
    shown = shown_range(full)  # of all passes, so that they look alike
    pixels = as_rgb(full, bgr, shown)
    views = [SubnetView('full network', pixels, labels=label if detects else None)]
    for number, subnet in enumerate(subnets, start=1):
        moved, mapping = transformed(model, subnet.transform, images)
        pixels = as_rgb(loaded_values(moved[image], model.data_preprocessor), bgr, shown)
        kept = subnet.kept_blocks(model)
        depth = None if kept is None else sum(kept) / len(kept)
        labels = move_samples([label], mapping)[0] if detects else None
        name = f'sub-network {number}'
        views.append(SubnetView(name, pixels, subnet.width, depth, mapping.scale, labels))
    return views


def loaded_values(image: Tensor, preprocessor: Any) -> NDArray[np.floating[Any]]:
    """Undo a preprocessor's normalisation: an image (C, H, W) as values (H, W, C)."""
    if hasattr(preprocessor, 'mean'):
        image = image * preprocessor.std + preprocessor.mean  # (C, 1, 1) each
    values = image.detach().float().permute(1, 2, 0).cpu().numpy()
    return values if values.shape[-1] == 3 else values[..., :1]


def classes_of(label: Tensor, names: Sequence[str]) -> str:
    """Return the class of an image in words, or the shares (classes,) of those it is mixed of."""
    if not label.dim():
        return names[int(label)] if label >= 0 else 'no label'
    found = [(share, name) for share, name in zip(label.tolist(), names, strict=True) if share]
    return ', '.join(f'{share:.0%} {name}' for share, name in sorted(found, reverse=True))


def save_subnets(
    views: Sequence[SubnetView], path: Path | str, classes: Sequence[str], title: str = ''
) -> Path:
    """Draw passes side by side, all axes of the same size in pixels; returns the path."""
    columns = min(len(views), 3)
    rows = math.ceil(len(views) / columns)
    height, width = (max(view.pixels.shape[side] for view in views) for side in (0, 1))
    figure = new_figure(4.2 * columns, (3.7 * height / width + 0.8) * rows + 0.3, title)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, view in zip(grid, views, strict=False):
        pixels = view.pixels
        if view.labels is not None:
            ignored = view.labels.get('ignored_instances')
            pixels = draw_objects(pixels, view.labels.gt_instances, classes, ignored)
        # Pixel i covers [i, i + 1), as in COCO.
        axes.imshow(pixels, extent=(0, view.pixels.shape[1], view.pixels.shape[0], 0))
        axes.set_title(view.caption, fontsize=8.5)
        axes.tick_params(labelsize=7)
        axes.set(xlim=(0, width), ylim=(height, 0), facecolor='#ececec')
    for axes in grid[len(views) :]:
        axes.set_axis_off()
    return save_figure(figure, path)
