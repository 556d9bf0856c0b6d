"""COCO's metrics of files whose numbers pycocotools or mmdet misread; calibration of scores."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from pycocotools.cocoeval import COCOeval

from ..type_names import builds


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """``CocoMetric``, with its options and values, and three faults of it corrected.

    pycocotools takes an annotation of id 0 for one that no prediction matched, and an id that is no
    number is a ValueError. It sorts categories by id, while ``classwise=True`` names them in the
    file's order. A prediction of a class that the file lacks is an IndexError after an epoch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        coco = self._coco_api
        if coco is not None and not all(i and isinstance(i, (int, float)) for i in coco.anns):
            for number, annotation in enumerate(coco.dataset['annotations'], start=1):
                annotation['id'] = number
            with redirect_stdout(io.StringIO()):
                coco.createIndex()

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write the results, whose labels are numbers of categories in the file's order."""
        classes = self.dataset_meta['classes']
        ids = self._coco_api.get_cat_ids(cat_names=classes)
        self.cat_ids = ids + [-1] * (len(classes) - len(ids))  # which no object has
        files = super().results2json(results, outfile_prefix)
        self.cat_ids = sorted(ids)
        return files


@METRICS.register_module()
class CalibratedCocoMetric(ExactCocoMetric):
    """``CocoMetric`` with the expected calibration error of box scores, ``bbox_ECE``, from 0 to 1.

    A box is right if COCO's matching at an IoU of 0.5 gives it an object of its class; boxes on
    crowds do not count. The error is the gap between the share of right boxes and their mean score
    in each of ten bins of scores, averaged over boxes; NaN without boxes.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics."""
        return {**super().compute_metrics(results), 'bbox_ECE': self._calibration_error(results)}

    def _calibration_error(self, results: Sequence[Any]) -> float:
        coco: Any = self._coco_api
        with TemporaryDirectory() as folder:
            files = self.results2json([found for _, found in results], f'{folder}/found')
            boxes = load(files['bbox'])
        if not boxes:
            return float('nan')
        with redirect_stdout(io.StringIO()):
            matching = COCOeval(coco, coco.loadRes(boxes), 'bbox')
            matching.params.iouThrs = np.array([0.5])
            matching.params.areaRng = matching.params.areaRng[:1]
            matching.evaluate()
        matches = [image for image in matching.evalImgs if image]  # by class
        counts = ~np.concatenate([image['dtIgnore'][0] for image in matches]).astype(bool)
        scores = np.concatenate([image['dtScores'] for image in matches])[counts]
        right = np.concatenate([image['dtMatches'][0] > 0 for image in matches])[counts]
        bins = np.minimum((10 * scores).astype(int), 9)
        gaps = np.bincount(bins, right - scores)
        return float(np.abs(gaps).sum() / len(scores))


def exact_metrics(config: Any) -> Any:
    """Return an evaluator's config with :class:`ExactCocoMetric` in place of ``CocoMetric``."""
    if isinstance(config, (list, tuple)):
        return [exact_metrics(part) for part in config]
    if isinstance(config, Mapping) and 'metrics' in config:
        return {**config, 'metrics': exact_metrics(config['metrics'])}
    exact = builds(config, CocoMetric, METRICS)
    return {**config, 'type': ExactCocoMetric.__name__} if exact else config
