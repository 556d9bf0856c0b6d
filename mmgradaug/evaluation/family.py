"""Train a few GradAug steps of any detector config on generated images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .coverage import ShippedConfig, one_line, swapped_model

STEPS = 2
SIZE = (160, 192)  # height and width in pixels
GRADAUG = {
    'num_subnets': 2,
    'min_width': 0.8,
    'transform': {'type': 'RandomScale', 'scales': [0.75, 0.5]},
}


@dataclass(frozen=True)
class Trial:
    """What came of training a config.

    Attributes:
        family: Name of the method.
        config: Name of the config.
        detector: Class of the detector.
        targets: ``'distilled'`` or ``'labels'``, what sub-networks learned from; empty if the
            steps failed.
        reason: Why they did, or why labels.
    """

    family: str
    config: str
    detector: str
    targets: str
    reason: str = ''


def try_training(config: ShippedConfig) -> Trial:
    """Take GradAug steps and predict, with random weights on generated images.

    The steps have to change the weights, keep every loss finite, and leave a detector that
    predicts.
    """
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = str(config.model.get('type'))
    try:
        model = _build(config.model)
        data = generated_batch(model)
        _train(model, data)
        _predict(model, data)
    except Exception as error:  # other people's models may fail in any way
        return Trial(config.family, config.name, detector, '', one_line(error))
    if model._distillers:
        return Trial(config.family, config.name, detector, 'distilled')
    return Trial(config.family, config.name, detector, 'labels', f'its {model._undistilled}')


def _build(model: Any) -> Any:
    """The GradAug detector of a stock model config.

    Raises:
        TypeError: If the model is no detector of single images.
    """
    model = swapped_model(model)
    name = str(model.type)
    found = MMDET_MODELS.get(name)
    if not (isinstance(found, type) and issubclass(found, BaseDetector)):
        raise TypeError(f'{name} is not a detector of single images')
    if 'detector' in model:
        raise TypeError(f'{name} wraps a detector: train the one inside')
    model.detector, model.type = name, 'GradAugDetector'
    model.gradaug = copy.deepcopy(GRADAUG)
    built = MODELS.build(model)
    built.init_weights()
    return built.train()


def generated_batch(model: nn.Module, images: int = 2) -> dict[str, Any]:
    """Random images with boxes, masks, semantic maps and proposals, as a data loader gives them.

    Args:
        model: The detector, whose heads know how many classes there are.
        images: Images in the batch.
    """
    classes = _num_classes(model)
    data = demo_mm_inputs(
        images,
        [(3, *SIZE)] * images,
        num_items=[3] * images,
        num_classes=max(classes, 2),
        with_mask=True,
        with_semantic=True,
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels %= classes
        sample.gt_sem_seg.sem_seg %= classes
        sample.proposals = _proposals(sample.gt_instances.bboxes)
    return data


def _num_classes(model: nn.Module) -> int:
    """The fewest classes that any head knows."""
    heads = [m for name, m in model.named_modules() if not name.endswith('rpn_head')]
    counts = [getattr(head, 'num_classes', None) for head in heads]
    return min((c for c in counts if isinstance(c, int) and c > 0), default=2)


def _proposals(boxes: Tensor) -> InstanceData:
    """Boxes around the objects, for detectors that get proposals with the data."""
    height, width = SIZE
    shifts = torch.tensor([[0.0, 0, 0, 0], [-8, -8, 8, 8], [4, 4, 12, 12], [30, 10, 50, 40]])
    moved = (boxes[:, None] + shifts).reshape(-1, 4)
    moved[:, 0::2].clamp_(0, width)
    moved[:, 1::2].clamp_(0, height)
    return InstanceData(bboxes=moved, scores=torch.ones(len(moved)))


def _train(model: Any, data: dict[str, Any]) -> None:
    """Take steps.

    Raises:
        AssertionError: If a step changes nothing.
    """
    before = [p.detach().clone() for p in model.parameters()]
    wrapper = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1e-4), clip_grad={'max_norm': 1.0}
    )
    for _ in range(STEPS):
        model.train_step(copy.deepcopy(data), wrapper)
    if all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
        raise AssertionError('the weights did not change')


def _predict(model: Any, data: dict[str, Any]) -> None:
    """Predict on the images as ``tools/test.py`` would."""
    model.eval()
    with torch.no_grad():
        results = model.test_step(copy.deepcopy(data))
    if len(results) != len(data['inputs']):
        raise AssertionError(f'{len(results)} results for {len(data["inputs"])} images')
