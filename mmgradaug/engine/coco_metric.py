"""COCO's metrics of files whose own numbers pycocotools or mmdet take for something else."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from ..type_names import builds


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """``CocoMetric``, with its options and values, and three faults of it corrected.

    pycocotools takes an annotation of id 0 for one that no prediction matched, and an id that is no
    number is a ValueError. It sorts categories by id, while ``classwise=True`` names them in the
    file's order. A prediction of a class that the file lacks is an IndexError after an epoch.
    """

    cat_ids: Any

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
        ids, classes = list(self.cat_ids), self.dataset_meta['classes']
        self.cat_ids = ids + [-1] * (len(classes) - len(ids))  # which no object has
        files = super().results2json(results, outfile_prefix)
        self.cat_ids = sorted(ids)
        return files

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics."""
        metrics = super().compute_metrics(results)
        self.cat_ids = None  # the next evaluation looks again for their order in the file
        return metrics


def exact_metrics(config: Any) -> Any:
    """Return an evaluator's config with :class:`ExactCocoMetric` in place of ``CocoMetric``."""
    if isinstance(config, (list, tuple)):
        return [exact_metrics(part) for part in config]
    if isinstance(config, Mapping) and 'metrics' in config:
        return {**config, 'metrics': exact_metrics(config['metrics'])}
    exact = builds(config, CocoMetric, METRICS)
    return {**config, 'type': ExactCocoMetric.__name__} if exact else config
