"""Query-based detectors, whose sub-networks train on labels: which they are, and why.

DETR and its kin answer with a set: each query says what it found, in no order. A soft label
needs to know which answer of the student corresponds to which of the teacher's.

- By index: which query finds an object depends on the image and the network, since queries
  compete for objects through self-attention; near ties flip. Two-stage variants (DINO) choose
  their queries from the encoder's output, so the same index is another place.
- By Hungarian matching with the teacher's confident queries as objects: that gives the
  objects over again, and leaves out what soft labels add to the labels, namely what the
  teacher says of everything else.

The stock losses on labels moved by the transform, matched anew in every pass, are well defined
for all of them. That is a choice by reasoning; nothing was measured.
"""

from __future__ import annotations

from mmdet.models.detectors import DetectionTransformer, MaskFormer, SparseRCNN
from torch import nn

QUERY_BASED = (DetectionTransformer, MaskFormer, SparseRCNN)


def is_query_based(detector: nn.Module) -> bool:
    """Whether a detector answers with a set of queries that its losses match to the labels."""
    return isinstance(detector, QUERY_BASED)
