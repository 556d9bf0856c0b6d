"""Distillation of the region proposal network: a dense head of one class."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.structures import SampleList
from torch import nn

from .dense import DenseDistiller


class RPNDistiller(DenseDistiller):
    """Trains a sub-network's objectness and deltas on the full network's, on labels, or both.

    Args:
        head: The detector's region proposal network.
        config: The targets of ``rpn_cls`` and ``rpn_bbox``.
        turns: Quarter turns that the sub-networks' images may make.
    """

    prefix = 'rpn'

    @staticmethod
    def supports(head: nn.Module) -> bool:
        """Whether ``head`` is mmdet's region proposal network with anchors on several scales."""
        return isinstance(head, RPNHead) and DenseDistiller.supports(head)

    def _relabelled(self, samples: SampleList) -> SampleList:
        """One class: object. The samples are the caller's own copies."""
        for sample in samples:
            sample.gt_instances.labels = torch.zeros_like(sample.gt_instances.labels)
        return samples
