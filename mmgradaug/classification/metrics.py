"""Top-1 and top-5 accuracy."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS


@METRICS.register_module()
class TopKAccuracy(BaseMetric):
    """Percentage of images whose class is among the k with the highest logits, for some k.

    Accuracies are logged as ``accuracy/top1`` and so on. Classes with equal logits, or with ones
    that are no numbers, count as ahead of the right one: a network that says the same of all
    classes knows none.
    """

    default_prefix = 'accuracy'

    def __init__(self, topk: Sequence[int] = (1, 5), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topk = topk

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the place of each image's class among its logits (classes,), counted from 0."""
        logits = torch.stack([sample['logits'] for sample in data_samples])
        labels = torch.stack([torch.as_tensor(sample['gt_label']) for sample in data_samples])
        own = logits.gather(1, labels.to(logits.device).view(-1, 1))
        self.results += ((~(logits < own)).sum(dim=1) - 1).tolist()

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Return percentages over all images."""
        places = torch.tensor(results)
        return {f'top{k}': 100 * (places < k).double().mean().item() for k in self.topk}
