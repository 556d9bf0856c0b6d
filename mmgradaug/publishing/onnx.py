"""Write a backbone or a classifier as ONNX, and check it against the original in onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.deformable import deformable_layers
from ..errors import ConfigError
from .publish import cut_backbone, dense_classifier, kept_classifier
from .source import Cut, Source, load_backbone
from .writing import record_of, write_named

TOLERANCE = 1e-4  # of the largest entry of an output, at least of 1
CHECKED_SIZES = ((2, 96, 128), (1, 160, 64))  # images, height, width


def publish_onnx(source: Source, cut: Cut, out: Path, classifier: bool | None = None) -> Path:
    """Write a backbone or a classifier as ONNX, and return the path.

    It is the logits (N, classes) of normalised images (N, C, H, W) with ``classifier``, or the
    backbone's features, one output a stage; None is logits of classifiers. The other arguments
    are as of :mod:`~mmgradaug.publishing.publish`.

    Raises:
        ConfigError: If the backbone cannot be cut or written, or onnxruntime's outputs differ.
    """
    import onnxruntime  # noqa: F401  optional, and needed before anything is computed
    import onnxscript  # noqa: F401

    model: Any = source.config().model
    channels = model.backbone.get('in_channels', 3)
    preprocessor = model.get('data_preprocessor') or {}
    record = record_of(source, cut)
    record |= {key: preprocessor.get(key) for key in ('mean', 'std', 'bgr_to_rgb')}
    if classifier or (classifier is None and source.is_classifier):
        kept_classifier(source, True)
        network = dense_classifier(source, cut)
        if source.library is None:
            norm = network.data_preprocessor
            record |= {key: getattr(norm, key).flatten().tolist() for key in ('mean', 'std')}
            record['bgr_to_rgb'] = True
        data = to_onnx(network, ['logits'], record, channels)
        return write_named(data, out, record, '.onnx')
    backbone = load_backbone(source) if cut.width is None else cut_backbone(source, cut)[1]
    # As mmdet and the papers count: C2 has a stride of 4. Networks for small images have one map.
    stages = getattr(backbone, 'out_indices', None)
    names = ['features'] if stages is None else [f'c{stage + 2}' for stage in stages]
    data = to_onnx(backbone, names, record, channels)
    return write_named(data, out, record, '.onnx', 'backbone')


def to_onnx(
    network: nn.Module, names: Sequence[str], meta: Mapping[str, Any], channels: int = 3
) -> bytes:
    """Convert a network whose number and size of images stay free.

    Args:
        network: Of dense layers, in evaluation mode, from normalised images (N, C, H, W) to one
            tensor (N, ...) or a sequence of them.
        names: Names of the outputs.
        meta: Plain data to store in the file under the key ``mmgradaug``.
        channels: C, of the images.

    Returns:
        The file's contents, checked by :func:`check_onnx`.

    Raises:
        ConfigError: If a convolution is deformable, or onnxruntime's outputs differ.
    """
    for name, layer in deformable_layers(network):
        raise ConfigError(
            f'--to onnx cannot write {name}, a {type(layer).__name__}, since ONNX has no '
            "counterpart of mmcv's: expected a network without dcn; --to mmdet and backbone take it"
        )
    free = torch.export.Dim.DYNAMIC
    count, height, width = CHECKED_SIZES[0]
    program = torch.onnx.export(
        network,
        (torch.zeros(count, channels, height, width),),
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=list(names),
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert program is not None
    model = program.model_proto
    model.metadata_props.add(key='mmgradaug', value=json.dumps(meta))
    data = model.SerializeToString()
    check_onnx(data, network, channels)
    return data


def check_onnx(data: bytes, network: nn.Module, channels: int = 3) -> None:
    """Compare an ONNX file's outputs in onnxruntime with the network's, on two image sizes.

    Raises:
        ConfigError: If they differ by more than 1e-4 of an output's largest entry, or of 1 if
            that is larger.
    """
    import onnxruntime  # optional

    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    for count, height, width in CHECKED_SIZES:
        images = torch.randn(count, channels, height, width)
        with torch.no_grad():
            expected = network(images)
        expected = [expected] if isinstance(expected, Tensor) else expected
        found = map(torch.from_numpy, session.run(None, {'images': images.numpy()}))
        for a, b in zip(found, expected, strict=True):
            error = float((a - b).abs().max() / b.abs().max().clamp(min=1.0))
            if not error <= TOLERANCE:
                raise ConfigError(
                    f'onnxruntime differs from torch by {error:.1e}, expected at most {TOLERANCE}: '
                    'try another version of onnxruntime'
                )
