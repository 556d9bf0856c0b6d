"""What a published file says about where it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine.run_log import NOT_METRICS, Scalars, placed, read_entries
from ..version import __version__
from .source import Cut, Source
from .stock_config import stock_backbone

# mmengine names an experiment CONFIG_DATE_TIME, and the folder of its log DATE_TIME.
EXPERIMENT = re.compile(r'(?P<config>.+)_(?P<started>\d{8}_\d{6})')
HASH = re.compile(r'-[0-9a-f]{8}$')


def record_of(source: Source, cut: Cut) -> dict[str, Any]:
    """Return recipe, training state, precision and origin of what is published, as plain data.

    ``metrics`` are those of exactly this network: empty where they are unknown, as those of
    sub-networks and of weights that the run did not validate.
    """
    meta, path = source.meta, source.path
    match = EXPERIMENT.fullmatch(str(meta.get('experiment_name')))
    is_validated = source.validated and cut.width in (None, 1) and not cut.images
    record = {
        'config': match['config'] if match else f'{path.absolute().parent.name}_{path.stem}',
        'width': 1.0 if cut.width is None else cut.width,
        'recalibration_images': cut.images,
        'epoch': meta.get('epoch'),
        'iter': meta.get('iter'),
        'metrics': validated_metrics(meta, path, source.cfg) if is_validated else {},
        'mmgradaug_version': __version__,
        'source': path.name,
        'run': meta.get('experiment_name'),
    }
    if source.cfg is not None:
        record['network'] = backbone_name(stock_backbone(source.cfg.model.backbone))
    if source.library is not None:
        record |= {'config': HASH.sub('', path.stem), 'library': source.library}
    return record


def backbone_name(backbone: Mapping[str, Any]) -> str:
    """Return type and depth of a backbone config, such as ``ResNet-18``."""
    return '-'.join(str(backbone[key]) for key in ('type', 'depth') if key in backbone)


def validated_metrics(meta: Mapping[str, Any], path: Path, cfg: Config | None) -> dict[str, float]:
    """Return what the validation of exactly these weights gave, from the log beside the file.

    The checkpoint itself does not tell: it is saved before its epoch's validation.

    Returns:
        Metrics by name; none where the log or its entry is missing.
    """
    match = EXPERIMENT.fullmatch(str(meta.get('experiment_name')))
    log = path.absolute().parent / match['started'] / 'vis_data/scalars.json' if match else None
    if log is None or not log.is_file():
        return {}
    by_epoch = cfg is None or 'IterBased' not in str((cfg.get('train_cfg') or {}).get('type'))
    step = meta.get('epoch' if by_epoch else 'iter')
    # A run that goes on, or was killed, may have left half a line.
    logged = [entry for entry in read_entries(log) if 'step' in entry]
    scalars = Scalars.of(logged if by_epoch else placed(logged))
    entries = [entry for entry in scalars.val if entry['step'] == step]
    return {
        key: value
        for key, value in (entries[-1] if entries else {}).items()
        if key not in NOT_METRICS and isinstance(value, (int, float))
    }
