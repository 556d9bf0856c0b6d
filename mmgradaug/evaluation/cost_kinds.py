"""The training steps that are compared in cost: models from the same config, and a batch."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones.resnet import OWN_OPTIONS
from ..checkpoints.safe_loading import safe_loading
from ..classification import Classifier, GradAugClassifier
from ..engine.console import no_init_log
from ..type_names import class_of, type_name
from .generated import generated_batch

PLAIN = 'plain'
PLAIN_SLIM = 'plain, slimmable backbone'
TORCHVISION = "plain, torchvision's"
OBJECTS = 8  # an image


def is_classifier(cfg: Config) -> bool:
    """Whether a GradAug config is of a classifier; it is of a detector otherwise."""
    model = class_of(cfg.model.type, MODELS)
    return model is not None and issubclass(model, GradAugClassifier)


def build_kinds(cfg: Config, variants: Sequence[str] = ()) -> dict[str, nn.Module]:
    """The stock model, the same on the slimmable backbone, GradAug, and its variants.

    For classifiers with a ResNet of torchvision's kind, that too, in the same memory format.

    Args:
        cfg: Config of a GradAug detector or classifier.
        variants: See :func:`~mmgradaug.evaluation.cost.measure_costs`.

    Returns:
        Models in training mode by name; all but torchvision's start from the same weights.
    """
    gradaug = copy.deepcopy(cfg.model)
    gradaug.backbone.init_cfg = None
    plain = copy.deepcopy(gradaug)
    plain.type = 'Classifier' if is_classifier(cfg) else plain.pop('detector')
    plain.pop('gradaug', None)
    stock = copy.deepcopy(plain)
    dense = getattr(class_of(stock.backbone.type, MODELS), 'dense_class', None)
    stock.backbone.type = type_name(stock.backbone.type).removeprefix('Slimmable')
    # Networks of this package have the other options without `Slimmable`, too.
    is_mmdets = dense is not None and dense.__module__.startswith('mmdet.')
    for option in OWN_OPTIONS if is_mmdets else ('width_divisor',):
        stock.backbone.pop(option, None)
    models = {PLAIN: stock, PLAIN_SLIM: plain, 'GradAug': gradaug}
    for options in variants:
        models[f'GradAug, {options}'] = _with_options(gradaug, options)
    built = {name: _initialised(model) for name, model in models.items()}
    theirs = torchvisions(cfg) if is_classifier(cfg) else None
    return built if theirs is None else {**built, TORCHVISION: theirs}


def _with_options(model: Any, options: str) -> Any:
    """A model config with options such as ``'gradaug.width_step=0.025'`` merged in."""
    pairs = (option.partition('=') for option in options.split())
    changes = {f'model.{key}': ast.literal_eval(value) for key, _, value in pairs}
    varied = Config({'model': copy.deepcopy(model)})
    varied.merge_from_dict(changes)
    return varied.model


def _initialised(model: Any) -> nn.Module:
    """Build a model with the same random weights every time."""
    torch.manual_seed(0)
    with safe_loading(), no_init_log():  # of a teacher, and of pretrained weights
        built = MODELS.build(model)
        built.init_weights()
    return built.train()


class TorchvisionClassifier(BaseModel):
    """A network of torchvision's as mmengine trains it, with nothing of this package in it.

    Args:
        network: From images (N, 3, H, W) to logits (N, classes).
        data_preprocessor: Config.
        channels_last: Its memory format.
    """

    def __init__(self, network: nn.Module, data_preprocessor: Any, channels_last: bool) -> None:
        super().__init__(data_preprocessor)
        self.network = network
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.format)  # type: ignore[call-overload]

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Logits, or in mode ``'loss'`` their cross entropy."""
        logits = self.network(inputs.contiguous(memory_format=self.format))
        return {'loss_cls': F.cross_entropy(logits, data_samples)} if mode == 'loss' else logits


def torchvisions(cfg: Config) -> nn.Module | None:
    """torchvision's ResNet in the place of a config's, where it has the same one."""
    model = cfg.model
    backbone = dict(model.backbone)
    kind, depth = type_name(backbone.pop('type')), backbone.pop('depth', None)
    for option in ('width_divisor', 'init_cfg', 'out_indices', 'zero_init_residual', 'norm_eval'):
        backbone.pop(option, None)
    builder = getattr(torchvision.models, f'resnet{depth}', None)
    others = backbone or model.get('teacher')
    if kind not in ('ResNet', 'SlimmableResNet') or builder is None or others:
        return None
    torch.manual_seed(0)
    preprocessor = copy.deepcopy(model.get('data_preprocessor')) or {'type': 'ImagePreprocessor'}
    network = builder(num_classes=model.num_classes)
    return TorchvisionClassifier(network, preprocessor, model.get('channels_last', False)).train()


def random_batch(
    model: nn.Module, size: tuple[int, int], images: int, channels: int = 3
) -> dict[str, Any]:
    """Random images as a data loader gives them, with the labels that a model trains on.

    Args:
        model: A classifier, or a detector, which gets eight objects an image.
        size: Height and width of the images in pixels.
        images: Images in the batch.
        channels: Of the images.
    """
    if isinstance(model, Classifier):
        generator = torch.Generator().manual_seed(0)
        shape = (images, channels, *size)
        return {
            'inputs': torch.randint(256, shape, generator=generator, dtype=torch.uint8),
            'data_samples': torch.randint(model.num_classes, (images,), generator=generator),
        }
    data = generated_batch(model, size, images, OBJECTS, channels)
    names = ' '.join(name for name, _ in model.named_modules())
    for sample in data['data_samples']:  # what is not read would be moved with the images, too
        if 'mask' not in names:
            del sample.gt_instances.masks
        if 'semantic' not in names and 'panoptic' not in names:
            del sample.gt_sem_seg
    return data
