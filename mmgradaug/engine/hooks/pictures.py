"""Pictures of predictions while a run validates, whatever its images and its palette."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmdet.visualization.palette import get_palette
from mmengine.registry import HOOKS

from ..pixels import read_rgb


@HOOKS.register_module()
class PicturesHook(DetVisualizationHook):
    """mmdet's hook and its options; images are read by the pipeline and stretched to 8 bits.

    mmdet's own reads files as 8 bits of three channels, and ends a run whose ``metainfo.palette``
    has too few colours or is of another kind. Missing colours are mmdet's random ones.
    """

    def before_run(self, runner: Any) -> None:
        """Complete the palette."""
        meta = getattr(self._visualizer, 'dataset_meta', None) or {}
        self._visualizer.dataset_meta = {**meta, 'palette': whole_palette(meta)}

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the first image of a batch."""
        if self.draw and (runner.iter + batch_idx) % self.interval == 0:
            with _as_8_bits(runner.val_dataloader.dataset, outputs[:1]) as shown:
                super().after_val_iter(runner, batch_idx, data_batch, shown)

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw every image."""
        if self.draw:
            with _as_8_bits(runner.test_dataloader.dataset, outputs) as shown:
                super().after_test_iter(runner, batch_idx, data_batch, shown)


@contextmanager
def _as_8_bits(dataset: Any, samples: Sequence[DetDataSample]) -> Iterator[list[DetDataSample]]:
    """Yield data samples whose files are PNG images under the old names, for a while."""
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        for index, sample in enumerate(samples):
            path = Path(folder, str(index), Path(sample.img_path).name)
            path.parent.mkdir()
            pixels = read_rgb(dataset, sample.img_path)
            path.write_bytes(cv2.imencode('.png', pixels[..., ::-1])[1].tobytes())
            shown.append(sample.clone())
            shown[-1].set_metainfo({'img_path': str(path)})
        yield shown


def whole_palette(meta: Mapping[str, Any]) -> Any:
    """Return a palette with a colour for each class: the data set's own as far as it goes."""
    given, count = meta.get('palette'), len(meta.get('classes') or ())
    if isinstance(given, str):
        try:
            given = get_palette(given, count)
        except (AssertionError, ValueError, KeyError, TypeError):  # a name that mmdet does not know
            given = None
    if _is_colour(given):
        given = [given] * count
    own = [] if given is None else list(given)
    colours = get_palette('random', count)
    for index, colour in enumerate(own[:count]):
        if _is_colour(colour):
            colours[index] = tuple(int(part) for part in colour)
    return colours


def _is_colour(value: Any) -> bool:
    """Return whether something is three numbers from 0 to 255."""
    try:
        return len(value) == 3 and all(0 <= float(part) <= 255 for part in value)
    except (TypeError, ValueError):
        return False
