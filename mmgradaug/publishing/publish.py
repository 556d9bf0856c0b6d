"""From a checkpoint of a run to files that need no mmgradaug."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from ..backbones.image_channels import image_channels
from ..type_names import class_of, type_name
from .classifiers import dense_classifier, kept_classifier
from .conversion import from_layout
from .narrow import build_stock, narrow_backbone, narrow_detector
from .onnx_export import check_onnx_packages, to_onnx
from .parent import build_backbone, build_parent, load_exactly
from .record import backbone_name, network_name
from .source import Cut, Source
from .stock_config import PACKAGE, stock_backbone, stock_config
from .writing import serialised, write, write_named

HEADER = '''"""{network}: the config of {weights}.

Needs MMDetection 3.x alone. Written by mmgradaug {mmgradaug_version} from {source} of
{config}. Training starts from these weights.
"""
'''


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
        load_exactly(detector, source.weights, source.path)
    else:
        stock, detector = narrow_detector(*build_parent(source, cut), cut.width)
    record = {**source.record(cut), 'network': network_name(stock.model)}
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


def publish_backbone(
    source: Source, cut: Cut, out: Path, overwrite: bool, classifier: bool = False
) -> Path:
    """Write the backbone alone, for ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Args:
        source: A detector, a classifier or a backbone.
        cut: The sub-network.
        out: The folder.
        overwrite: Whether to replace files.
        classifier: Whether to write a classifier's linear layer beside it, as torchvision's
            files have it.

    Returns:
        The path.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If the checkpoint has no backbone, or it cannot be cut.
    """
    record = source.record(cut)
    state, head = source.parts()
    if cut.width is not None:
        options, backbone = _cut_backbone(source, cut, cut.width)
        record |= {'network': backbone_name(options), 'backbone': options}
        state = backbone.state_dict()
    elif source.has_config and source.layout is None:
        build_backbone(source)  # whether everything is there
    state = {**state, **kept_classifier(head, source, classifier)}
    data = serialised(state, {'mmgradaug': record})
    return write_named(data, out, f'{_stem(record, cut)}_backbone', '.pth', overwrite)


def require_mmdets_backbone(source: Source) -> None:
    """Raise if a classifier's backbone is of a kind that mmdet lacks.

    Raises:
        ValueError: With its name.
    """
    if not source.has_config:
        from_layout(source.parts()[0], 'mmdet', source.path)
        return
    kind = stock_backbone(source.config().model.backbone)['type']
    name = type_name(kind)
    if getattr(class_of(kind, MODELS), '__module__', '').split('.')[0] == PACKAGE:
        raise ValueError(
            f'the backbone of {source.path} is {name}, which mmdet has not, expected a ResNet: '
            f'--to backbone writes its weights for {name} of {PACKAGE}, --to onnx the network'
        )


def publish_onnx(
    source: Source, cut: Cut, out: Path, overwrite: bool, classifier: bool | None = None
) -> Path:
    """Write a backbone or a classifier as ONNX.

    Args:
        source: A detector or a classifier.
        cut: The sub-network.
        out: The folder.
        overwrite: Whether to replace files.
        classifier: Whether to write the logits (N, classes) of normalised images (N, C, H, W),
            or the backbone's features, one output a stage; None is logits of classifiers.

    Returns:
        The path.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If a package is missing, the backbone cannot be cut, or onnxruntime's
            outputs differ.
    """
    check_onnx_packages()
    model: Any = source.config().model
    preprocessor = model.get('data_preprocessor') or {}
    channels = image_channels(model.backbone)
    record = source.record(cut)
    record |= {key: preprocessor.get(key) for key in ('mean', 'std', 'bgr_to_rgb')}
    if classifier or (classifier is None and source.is_classifier):
        kept_classifier(source.parts()[1], source, True)
        network = dense_classifier(source, cut)
        if source.layout is None:
            record |= _normalisation(network.data_preprocessor)
        data = to_onnx(network, ['logits'], record, channels)
        return write_named(data, out, _stem(record, cut), '.onnx', overwrite)
    if cut.width is None:
        backbone = build_backbone(source)
    else:
        _, backbone = _cut_backbone(source, cut, cut.width)
    # As mmdet and the papers count: C2 has a stride of 4. Networks for small images have one map.
    stages = getattr(backbone, 'out_indices', None)
    names = ['features'] if stages is None else [f'c{stage + 2}' for stage in stages]
    data = to_onnx(backbone, names, record, channels)
    return write_named(data, out, f'{_stem(record, cut)}_backbone', '.onnx', overwrite)


def _normalisation(preprocessor: Any) -> dict[str, Any]:
    """What a classifier's images are normalised by, RGB from 0 to 255."""
    numbers = {key: getattr(preprocessor, key).flatten().tolist() for key in ('mean', 'std')}
    return {**numbers, 'bgr_to_rgb': True}


def _cut_backbone(source: Source, cut: Cut, width: float) -> tuple[dict[str, Any], Any]:
    """Config and network of a narrow backbone."""
    require_mmdets_backbone(source)
    model, cfg = build_parent(source, cut)
    options, backbone, _ = narrow_backbone(
        model.backbone, stock_backbone(cfg.model.backbone), width
    )
    return Config(options).to_dict(), backbone


def _stem(record: Mapping[str, Any], cut: Cut) -> str:
    """Start of a file's name."""
    return record['config'] if cut.width is None else f'{record["config"]}_w{cut.width:g}'
