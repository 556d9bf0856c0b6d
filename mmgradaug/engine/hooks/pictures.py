"""Predictions on images of any kind, drawn as mmdet draws them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmengine.registry import HOOKS

from ..pixels import as_rgb, load_image


@HOOKS.register_module()
class AnyImageVisualizationHook(DetVisualizationHook):
    """``DetVisualizationHook``, with its options, also for images of 16 bits, one channel or six.

    mmdet reads a file anew to draw on it, as a picture of three channels. Here the data set's own
    pipeline reads it, and where that gives something else, mmdet gets a picture of it.
    """

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: dict, outputs: Any) -> None:
        """Draw the first sample of a batch."""
        if self.draw:
            with self._drawable(runner.val_dataloader.dataset, outputs[:1]) as samples:
                super().after_val_iter(runner, batch_idx, data_batch, samples)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: dict, outputs: Any) -> None:
        """Draw the samples of a batch."""
        if self.draw:
            with self._drawable(runner.test_dataloader.dataset, outputs) as samples:
                super().after_test_iter(runner, batch_idx, data_batch, samples)

    @contextmanager
    def _drawable(self, dataset: Any, outputs: Sequence[Any]) -> Iterator[Sequence[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            samples = list(outputs)
            for place, sample in enumerate(outputs):
                image = load_image(dataset, sample.img_path)
                if image.dtype != np.uint8 or image.shape[2:] != (3,):
                    path = Path(folder, Path(sample.img_path).with_suffix('.png').name)
                    mmcv.imwrite(np.ascontiguousarray(as_rgb(image)[..., ::-1]), str(path))
                    samples[place] = sample.clone()
                    samples[place].set_metainfo({'img_path': str(path)})
            yield samples
