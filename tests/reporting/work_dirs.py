"""Work dirs as mmengine leaves them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CONFIG = """model = dict(
    backbone=dict(depth=18, type='SlimmableResNet'),
    detector='MaskRCNN',
    gradaug=dict(min_width=0.8, num_subnets=2),
    type='GradAugDetector')
train_cfg = dict(max_epochs=2, type='EpochBasedTrainLoop')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(prob=0.5, type='RandomFlip'),
]
work_dir = 'here'
"""
PLAIN_CONFIG = CONFIG.replace('Slimmable', '').replace('prob=0.5', 'prob=0.0').replace(
    """detector='MaskRCNN',
    gradaug=dict(min_width=0.8, num_subnets=2),
    type='GradAugDetector'""", "_scope_='mmdet', type='MaskRCNN'")  # fmt: skip
ITERATIONS = 8
EPOCH = 4


def train_entry(step: int, gradaug: bool = True, by_epoch: bool = True) -> dict[str, Any]:
    """A training entry whose values tell the step."""
    entry: dict[str, Any] = {'lr': 0.02, 'loss': 12.0 / step, 'loss_cls': 2.0 / step, 'time': 3.0}
    if gradaug:
        entry |= {'full/loss': 4.0 / step, 'full/seconds': 1.0}
        for index in (1, 2):
            entry |= {
                f'subnet{index}/width': 0.8 if index == 1 else 0.8 + step / 100,
                f'subnet{index}/turns': 0,
                f'subnet{index}/loss': 4.0 / step,
                f'subnet{index}/loss_cls_soft': index + 1.0 / step,
                f'subnet{index}/agree_mask': 0.9,
                f'subnet{index}/seconds': 0.5 + step,
            }
    if by_epoch:
        entry['epoch'] = (step - 1) // EPOCH + 1
    return entry | {'iter': step, 'step': step}


def val_entry(step: int, value: float) -> dict[str, Any]:
    """A validation entry; -1 is what COCO's metric gives where there are no such objects."""
    metrics = {'bbox_mAP': value, 'segm_mAP': value + 0.1, 'bbox_mAP_l': -1.0}
    return {**{f'coco/{k}': v for k, v in metrics.items()}, 'time': 0.1, 'step': step}


def whole_log(gradaug: bool = True, value: float = 0.5) -> list[dict[str, Any]]:
    """Two epochs."""
    entries = []
    for step in range(1, ITERATIONS + 1):
        entries.append(train_entry(step, gradaug))
        if step % EPOCH == 0:
            entries.append(val_entry(step // EPOCH, value + step / 100))
    return entries


def write_start(
    work_dir: Path, name: str, entries: Sequence[dict[str, Any]], config: str | None = CONFIG
) -> Path:
    """One start of a run: its log folder; returns the scalars' path."""
    data = work_dir / name / 'vis_data'
    data.mkdir(parents=True)
    if config is not None:
        (data / 'config.py').write_text(config)
    path = data / 'scalars.json'
    path.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))
    return path


def write_run(work_dir: Path, gradaug: bool = True, value: float = 0.5) -> Path:
    """A finished run of one start with a picture; returns its work dir."""
    config = CONFIG if gradaug else PLAIN_CONFIG
    write_start(work_dir, '20261122_050000', whole_log(gradaug, value), config)
    text = 'mmengine - INFO - Versions: mmgradaug 0.1.0, mmdet 3.5.1\n'
    (work_dir / '20261122_050000/20261122_050000.log').write_text(text)
    (work_dir / 'last_checkpoint').write_text(os.fspath(work_dir / 'epoch_2.pth'))
    cv2.imwrite(os.fspath(work_dir / 'predictions.png'), np.full((20, 30, 3), 7, np.uint8))
    return work_dir
