"""Find out before a run starts what would stop it, or silently spoil it, later."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from ...backbones.image_channels import image_channels
from ...detection import GradAugDetector
from .annotations import check_annotations
from .checkpoints import CheckpointUse, averages_weights, check_checkpoint
from .classes import check_class_names, check_class_places, check_num_classes
from .data_files import check_files
from .datasets import coco_uses, placed_classes
from .devices import warn_of_missing_cuda_ops, warn_of_tuning
from .loaders import check_loaders
from .model import build_model, check_features, check_init_cfgs
from .optimizer import check_optimizer
from .pretrained import check_backbone_weights, check_pretrained_files
from .run_options import check_run_options
from .schedules import warn_of_cut_schedules

__all__ = ['check_data', 'check_model', 'check_run', 'check_weights']


def check_run(
    cfg: Config,
    loops: tuple[str, ...],
    checkpoint: CheckpointUse | None = None,
    main_process: bool = True,
) -> None:
    """Raise if a run would stop at, or be spoilt by, something that can be known before.

    Args:
        cfg: The run's config. ``check_annotations=False`` in it leaves annotation files unread.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.
        checkpoint: The checkpoint that will be loaded.
        main_process: Whether this is the first process of the run. The others look for files
            only: they wait for the first one anyway, which would not be faster for company.

    Raises:
        FileNotFoundError: If a file is missing: path, config key and fix.
        ValueError: If an option of the run is out of its range, or a file, or the numbers of
            classes, do not fit.
        Exception: What building the model raises, by the config's options.
    """
    check_run_options(cfg, loops)
    check_loaders(cfg, loops)
    check_files(cfg, loops)
    if 'train' in loops:  # mmengine reads them even where a checkpoint follows
        check_pretrained_files(cfg.get('model'))
    if not main_process:
        return
    model = check_model(cfg, loops)
    warn_of_missing_cuda_ops()
    if 'train' in loops:
        warn_of_tuning(cfg, model)
        check_init_cfgs(model)
        check_optimizer(cfg)
        warn_of_cut_schedules(cfg)
        check_weights(cfg)
    if checkpoint is not None:
        check_checkpoint(model, checkpoint, averages_weights(cfg))
    _check_contents(cfg, loops)


def check_model(cfg: Config, loops: tuple[str, ...] = ()) -> Any:
    """Build a config's model, raise if it and the data sets of ``loops`` differ in classes.

    Returns:
        The model, its weights not initialised.

    Raises:
        ValueError: If numbers of classes differ, or sub-networks would train on nothing.
        Exception: What building the model raises, by the config's options.
    """
    uses = coco_uses(cfg, loops)
    check_class_names(uses)
    check_class_places(placed_classes(cfg, loops))
    model = build_model(cfg)
    if 'train' in loops and isinstance(model, GradAugDetector):
        check_features(model, image_channels(cfg.model.backbone))
    check_num_classes(model, [use for use in uses if not use.evaluator])
    return model


def check_weights(cfg: Config) -> None:
    """Raise if local pretrained weights are missing or do not fit.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
        ValueError: If a file does not fit the backbone.
    """
    check_pretrained_files(cfg.get('model'))
    check_backbone_weights(cfg)


def check_data(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if data are not there, or loaders or annotations not what the config makes of them.

    Args:
        cfg: The run's config.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
        ValueError: If an option of a data loader is wrong, or annotations do not fit.
    """
    check_loaders(cfg, loops)
    check_files(cfg, loops)
    check_class_names(coco_uses(cfg, loops))
    _check_contents(cfg, loops)


def _check_contents(cfg: Config, loops: tuple[str, ...]) -> None:
    """Read the annotation files, unless the config says not to.

    mmdet will read them again: on COCO's 450 MB some seconds of one process, next to hours of
    training that a wrong class name costs. Keeping what was read for mmdet would mean to patch
    pycocotools, and remembering files that passed would miss images that have gone since.
    """
    if cfg.get('check_annotations', True):
        check_annotations(coco_uses(cfg, loops))
