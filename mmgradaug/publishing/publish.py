"""From a checkpoint of a run to files that need no mmgradaug."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ..checkpoints.reading import read_checkpoint, weights_of
from ..checkpoints.safe_loading import safe_loading
from ..engine.preflight import check_data
from .averages import choose_weights
from .config_text import config_from_text
from .narrow import build_stock, narrow_backbone, narrow_detector
from .onnx_export import check_onnx_packages, to_onnx
from .recalibration import recalibrate, training_batches
from .record import backbone_name, network_name, record_of
from .stock_config import stock_config
from .writing import serialised, write, write_named

HEADER = '''"""{network}: the config of {weights}.

Needs MMDetection 3.x alone. Written by mmgradaug {mmgradaug_version} from {source} of
{config}. Training starts from these weights.
"""
'''


@dataclass(frozen=True)
class Source:
    """A checkpoint to publish.

    Attributes:
        path: Its file.
        checkpoint: Its contents.
        weights: The weights to publish.
        cfg: Config of the run; None if it is not known.
        validated: Whether the run validated these weights.
    """

    path: Path
    checkpoint: Mapping[str, Any]
    weights: dict[str, Tensor]
    cfg: Config | None
    validated: bool = True

    def config(self) -> Config:
        """The config of the run.

        Raises:
            ValueError: If it is not known.
        """
        if self.cfg is None or not (self.cfg.get('model') or {}).get('backbone'):
            raise ValueError(
                f'{self.path} carries no config of a model with a backbone, expected '
                "meta['cfg'] as mmengine writes it: give the config with --config"
            )
        return self.cfg


@dataclass(frozen=True)
class Cut:
    """Which sub-network to publish.

    Attributes:
        width: Share of the channels; None for the full network as it was trained.
        images: Training images to recalibrate BatchNorm statistics on; 0 keeps the first
            channels' of the full network.
        seed: Of the choice of images.
        device: To recalibrate on.
    """

    width: float | None = None
    images: int = 0
    seed: int = 0
    device: str = 'cpu'


def open_source(path: Path, config: Config | None = None, averaged: bool | None = None) -> Source:
    """Read a checkpoint and, unless another one is given, the config that it carries.

    Args:
        path: The checkpoint.
        config: Config to use instead of the checkpoint's own.
        averaged: See :func:`choose_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file or its config would have to be executed to read it.
    """
    checkpoint = read_checkpoint(path)
    text = (checkpoint.get('meta') or {}).get('cfg')
    if config is None and isinstance(text, str):
        config = config_from_text(text)
    raw = averaged is False and 'ema_state_dict' in checkpoint
    return Source(path, checkpoint, choose_weights(checkpoint, path, averaged), config, not raw)


def publish_detector(source: Source, cut: Cut, out: Path, overwrite: bool) -> tuple[Path, Path]:
    """Write a config and a checkpoint for an mmdet without mmgradaug.

    Returns:
        Paths of the config and of the checkpoint.

    Raises:
        FileExistsError: If they are there already.
        ValueError: If the weights do not fit, or the detector cannot be cut.
    """
    if cut.width is None:
        stock = stock_config(source.config())
        detector = build_stock(stock)
        _load(detector, source.weights, source.path)
    else:
        stock, detector = narrow_detector(*build_parent(source, cut), cut.width)
    record = {'network': network_name(stock.model), **_record(source, cut)}
    dataset_meta = (source.checkpoint.get('meta') or {}).get('dataset_meta')
    text = stock.pretty_text
    meta = {'cfg': text, 'mmgradaug': record}
    meta |= {'dataset_meta': dict(dataset_meta)} if dataset_meta else {}
    data = serialised(detector.state_dict(), meta)
    checkpoint = write_named(data, out, _stem(record, cut), '.pth', overwrite)
    header = HEADER.format(**record, weights=checkpoint.name)
    load_from = f"load_from = '{{{{ fileDirname }}}}/{checkpoint.name}'\n"
    config = f'{header}\n{text}{load_from}'.encode()
    return write(config, checkpoint.with_suffix('.py'), overwrite), checkpoint


def publish_backbone(source: Source, cut: Cut, out: Path, overwrite: bool) -> Path:
    """Write the backbone alone, for ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Returns:
        The path.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If the checkpoint has no backbone, or it cannot be cut.
    """
    record = _record(source, cut)
    state = backbone_weights(source)
    if cut.width is not None:
        options, backbone = _cut_backbone(source, cut, cut.width)
        record |= {'network': backbone_name(options), 'backbone': options}
        state = backbone.state_dict()
    data = serialised(state, {'mmgradaug': record})
    return write_named(data, out, f'{_stem(record, cut)}_backbone', '.pth', overwrite)


def publish_onnx(source: Source, cut: Cut, out: Path, overwrite: bool) -> Path:
    """Write the backbone as ONNX, from normalised images (N, 3, H, W) to one output a stage.

    Returns:
        The path.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If a package is missing, the backbone cannot be cut, or onnxruntime's
            outputs differ.
    """
    check_onnx_packages()
    record = _record(source, cut)
    stock = stock_config(source.config()).model
    if cut.width is None:
        init_default_scope('mmdet')
        backbone = MODELS.build(stock.backbone)
        _load(backbone, backbone_weights(source), source.path)
        backbone.eval()
    else:
        _, backbone = _cut_backbone(source, cut, cut.width)
    preprocessor = stock.get('data_preprocessor') or {}
    record['network'] = backbone_name(stock.backbone)
    record |= {key: preprocessor.get(key) for key in ('mean', 'std', 'bgr_to_rgb')}
    # As mmdet and the papers count: C2 has a stride of 4.
    names = [f'c{stage + 2}' for stage in backbone.out_indices]
    data = to_onnx(backbone, names, record)
    return write_named(data, out, f'{_stem(record, cut)}_backbone', '.onnx', overwrite)


def backbone_weights(source: Source) -> dict[str, Tensor]:
    """The backbone's weights under its own names.

    Raises:
        ValueError: If there are none.
    """
    return weights_of(source.weights, source.path, 'backbone')


def build_parent(source: Source, cut: Cut) -> tuple[Any, Config]:
    """The trained model, recalibrated at the width to be cut, and its config.

    Raises:
        FileNotFoundError: If the training data to recalibrate on are not there.
        ValueError: If the weights do not fit.
    """
    cfg = source.config()
    if cut.images:
        check_data(cfg, ('train',))
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with safe_loading():  # of a teacher
        model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    _load(model, source.weights, source.path)
    model.eval().to(cut.device)
    if cut.width is not None and cut.images:
        recalibrate(model, cut.width, training_batches(cfg, cut.images, cut.seed))
    return model, cfg


def _cut_backbone(source: Source, cut: Cut, width: float) -> tuple[dict[str, Any], Any]:
    """Config and network of a narrow backbone."""
    model, cfg = build_parent(source, cut)
    options, backbone, _ = narrow_backbone(model.backbone, stock_config(cfg).model.backbone, width)
    return Config(options).to_dict(), backbone


def _load(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights that have to fit exactly."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ValueError(
            f'{path} does not fit {type(network).__name__} of the config: {" ".join(lines)[:300]} '
            'Give the config that it was trained with by --config'
        ) from error


def _record(source: Source, cut: Cut) -> dict[str, Any]:
    """What the file says about itself."""
    return record_of(
        source.checkpoint,
        source.path,
        source.cfg,
        1.0 if cut.width is None else cut.width,
        cut.images,
        source.validated,
    )


def _stem(record: Mapping[str, Any], cut: Cut) -> str:
    """Start of a file's name."""
    return record['config'] if cut.width is None else f'{record["config"]}_w{cut.width:g}'
