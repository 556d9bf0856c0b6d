"""Train a few GradAug steps of any detector config on generated images."""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ..backbones.pretrained import pretrained_of
from ..detection.distillation import is_query_based
from ..type_names import type_name
from .coverage import (
    ShippedConfig,
    config_folder,
    load_stock_backbones,
    one_line,
    swapped_model,
)
from .generated import generated_batch

STEPS = 2
# Heights and widths in pixels, of which the first is taken at which a detector trains: DDOD
# convolves 3 x 3 cells at stride 128, also of images of half the size.
SIZES = ((160, 192), (544, 576))
# Most RoIs an image that are sampled and proposed, queries, and points of a mask, by config key;
# mmdet has 512, 1000, up to 900 and 12544.
LIMITS = {'num': 64, 'max_per_img': 100, 'num_queries': 100, 'num_points': 1024}
# Height and width to which a batch is padded or resized where a config asks for it; mmdet has
# (1024, 1024) and more, whatever the images' size, and Mask2Former then takes 16 GB.
CANVAS = (192, 224)
CANVAS_KEYS = ('size', 'scale', 'random_size_range')
GRADAUG = {
    'num_subnets': 2,
    'min_width': 0.8,
    'transform': {'type': 'RandomScale', 'scales': [0.75, 0.5]},
}
# Detectors that GradAug is not made for, by the name of their class or of one that it extends.
OUTSIDE = {
    'BaseMOTModel': 'it tracks objects through videos; GradAug trains detectors of single images',
    'SemiBaseDetector': 'it wraps a detector to train it on images without labels too; GradAug '
    'trains the detector inside, on labels',
    'GroundingDINO': 'it reads text with a language model, which has to be downloaded',
    'CLRNet': 'it finds lanes, whose labels mmgradaug cannot move with the image',
}
STOCK_FAILS = 'mmdet without mmgradaug fails here too: '


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


def try_family(configs: Sequence[ShippedConfig]) -> Trial:
    """Try the first config of a family that mmdet itself can train here.

    Args:
        configs: The family's, the preferred one first.

    Returns:
        The trial of that config; of the first one if mmdet can train none.
    """
    failures = []
    for config in configs:
        trial = try_training(config)
        gc.collect()  # a model and the hooks on its gradients hold each other
        if trial.targets or not trial.reason.startswith(STOCK_FAILS):
            return trial
        failures.append(trial)
    return failures[0]


def try_training(config: ShippedConfig) -> Trial:
    """Take GradAug steps and predict, with random weights on generated images.

    The slimmable backbone takes the stock one's state dict. Then every loss has to be finite, each
    sub-network has to give a gradient to every parameter that the full network gives one to, the
    steps have to change the weights, and the detector has to predict.
    """
    init_default_scope('mmdet')
    detector = type_name(config.model.get('type'))
    reason = _outside(detector)
    for size in () if reason else SIZES:
        try:
            model = _gradaug_model(config.model)
            remarks = _train(model, generated_batch(model, size))
            _predict(model, generated_batch(model, size))
        except Exception as error:  # other people's models may fail in any way
            reason = one_line(error)
            continue
        if size != SIZES[0]:
            remarks.append(f'at {size[0]} x {size[1]} pixels; on smaller images {reason}')
        if model._distillers:
            return Trial(config.family, config.name, detector, 'distilled', '; '.join(remarks))
        remarks.insert(0, 'queries, by choice' if is_query_based(model) else model._undistilled)
        return Trial(config.family, config.name, detector, 'labels', '; '.join(remarks))
    if not _outside(detector):
        reason = _stock_failure(config.model) or reason
    return Trial(config.family, config.name, detector, '', reason)


def _outside(detector: str) -> str:
    """Why GradAug is not made for a detector; empty if it is."""
    bases = getattr(MMDET_MODELS.get(detector), '__mro__', ())
    return next((OUTSIDE[c.__name__] for c in bases if c.__name__ in OUTSIDE), '')


def _gradaug_model(model: Any) -> Any:
    """The GradAug detector of a stock model config, with the stock backbone's random weights."""
    swapped = _reduced(swapped_model(model))
    swapped.detector, swapped.type = str(swapped.type), 'GradAugDetector'
    swapped.gradaug = copy.deepcopy(GRADAUG)
    built = MODELS.build(swapped)
    built.init_weights()
    load_stock_backbones(built, model)
    built = revert_sync_batchnorm(built)  # as mmengine's runner does in one process
    built.train()
    return built


def _stock_failure(model: Any) -> str:
    """How mmdet's own detector fails in the same trial; empty if it does not."""
    reason = ''
    _count(0)
    for size in SIZES:
        try:
            built = revert_sync_batchnorm(MODELS.build(_reduced(copy.deepcopy(model))))
            built.train()
            data = built.data_preprocessor(generated_batch(built, size), True)
            built.parse_losses(built(**data, mode='loss'))[0].backward()
            _predict(built, generated_batch(built, size))
            return ''
        except Exception as error:  # as above
            reason = reason or STOCK_FAILS + one_line(error)
    return reason


def _reduced(model: Any) -> Any:
    """The same config for small images: fewer RoIs, queries and points, no large canvas.

    Teachers need no download.
    """
    if isinstance(model, (list, tuple)):
        for value in model:
            _reduced(value)
    if isinstance(model, dict):
        for key, limit in LIMITS.items():
            if isinstance(model.get(key), int):
                model[key] = min(model[key], limit)
        for augment in model.get('batch_augments') or ():
            augment.update({key: CANVAS for key in CANVAS_KEYS if key in augment})
        if 'teacher_ckpt' in model:
            model['teacher_ckpt'] = None
        if 'teacher_config' in model:  # relative to mmdet's repository
            name = str(model['teacher_config']).removeprefix('configs/')
            model['teacher_config'] = str(config_folder() / name)
        if pretrained_of(model.get('init_cfg')) is not None:
            model['init_cfg'] = None
        for value in model.values():
            _reduced(value)
    return model


class _WatchedOptimWrapper(OptimWrapper):
    """Notes which parameters each pass gives a gradient.

    Attributes:
        passes: Names of the parameters, one set for each pass since the last step.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(torch.optim.SGD(model.parameters(), lr=1e-4), clip_grad={'max_norm': 1.0})
        self.passes: list[set[str]] = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda _, name=name: self.passes[-1].add(name))

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Open a new set of names."""
        self.passes.append(set())
        super().backward(loss, **kwargs)


def _train(model: Any, data: dict[str, Any]) -> list[str]:
    """Take steps.

    Returns:
        Remarks.

    Raises:
        AssertionError: If a step changes nothing, or if a sub-network gives no gradient to a
            parameter that the full network gives one to.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    wrapper = _WatchedOptimWrapper(model)
    for step in range(STEPS):
        _count(step)
        wrapper.passes.clear()
        model.train_step(copy.deepcopy(data), wrapper)
        full, *subnets = wrapper.passes
        for index, reached in enumerate(subnets, start=1):
            if full - reached:
                raise AssertionError(
                    f'sub-network {index} gives no gradient to {_names(full - reached)}'
                )
    if all(torch.equal(before[name], p) for name, p in trained.items()):
        raise AssertionError('the weights did not change')
    untrained = set(trained) - full
    return [f"mmdet's losses give no gradient to {_names(untrained)}"] if untrained else []


def _count(step: int) -> None:
    """Tell the losses which iteration and epoch it is, as a runner does."""
    hub = MessageHub.get_instance('mmgradaug.evaluation.family')
    hub.update_info('iter', step)
    hub.update_info('epoch', step)


def _names(parameters: set[str]) -> str:
    """How many parameters, and one of them."""
    return f'{len(parameters)} parameters, such as {min(parameters)}'


def _predict(model: Any, data: dict[str, Any]) -> None:
    """Predict on one image after the other, as mmdet's configs test."""
    model.eval()
    for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
        with torch.no_grad():
            (result,) = model.test_step({'inputs': [image], 'data_samples': [sample]})
        if not {'pred_instances', 'pred_panoptic_seg'} & set(result.keys()):
            raise AssertionError(f'no predictions, only {", ".join(result.keys())}')
