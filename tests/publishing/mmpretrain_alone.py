"""mmpretrain's ResNet classifier, run by `test_conversion.py` in a process of its own.

Arguments: a config of its backbone and a number of classes (JSON), weights or ``-``, images, and
where the logits go; without weights it prints names and shapes. mmpretrain's ``__init__`` files
import every model it has and what those need, so its packages stand here without theirs.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(importlib.util.find_spec('mmpretrain').origin).parent  # found without an import
EMPTY = ('', '.models', '.models.backbones', '.models.necks', '.models.heads', '.models.utils',
         '.models.classifiers', '.models.losses', '.evaluation', '.evaluation.metrics')  # fmt: skip


def import_classifier():
    """Import just the parts of a ResNet classifier; returns the registry."""
    for name in EMPTY:
        package = ModuleType(f'mmpretrain{name}')
        package.__path__ = [str(ROOT / name[1:].replace('.', '/'))]
        sys.modules[package.__name__] = package
    unused = ModuleType('mmpretrain.models.utils.batch_augments')
    unused.RandomBatchAugment = None
    sys.modules[unused.__name__] = unused
    single = importlib.import_module('mmpretrain.evaluation.metrics.single_label')
    sys.modules['mmpretrain.evaluation.metrics'].Accuracy = single.Accuracy
    for name in ('losses.cross_entropy_loss', 'utils.data_preprocessor', 'backbones.resnet',
                 'necks.gap', 'heads.linear_head', 'classifiers.image'):  # fmt: skip
        importlib.import_module(f'mmpretrain.models.{name}')
    return importlib.import_module('mmpretrain.registry').MODELS


def main(backbone, classes, weights, images='', logits=''):
    """Build the classifier, and print its tensors or load weights and write its logits."""
    backbone, classes = json.loads(backbone), int(classes)
    model = import_classifier().build(
        dict(
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=classes,
                in_channels=512 if backbone['depth'] < 50 else 2048,
            ),
        )
    )
    if weights == '-':
        print(json.dumps({k: list(v.shape) for k, v in model.state_dict().items()}))
        return
    model.load_state_dict(torch.load(weights, weights_only=True))  # strict
    with torch.no_grad():
        torch.save(model.eval()(torch.load(images), mode='tensor'), logits)


main(*sys.argv[1:])
