"""Write a backbone or a classifier as ONNX, and check it against the original in onnxruntime."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .narrow import require_equal
from .publish import cut_backbone, dense_classifier
from .source import Cut, Source, build_model, load_backbone
from .writing import record_of, write_named


def publish_onnx(source: Source, cut: Cut, out: Path, classifier: bool) -> Path:
    """Write a backbone or a classifier as ONNX, and return the path.

    From normalised images (N, C, H, W) it gives a classifier's logits (N, classes), or the
    backbone's features, one output a stage: those of detectors, and without ``classifier``. The
    other arguments are as of :mod:`~mmgradaug.publishing.publish`.
    """
    model: Any = source.config().model
    channels = model.backbone.get('in_channels', 3)
    preprocessor = model.get('data_preprocessor') or {}
    record = record_of(source, cut)
    record |= {key: preprocessor.get(key) for key in ('mean', 'std', 'bgr_to_rgb')}
    if source.is_classifier and source.library is None:  # its preprocessor has defaults
        norm: Any = build_model({'type': 'ImagePreprocessor', **preprocessor})
        record |= {key: getattr(norm, key).flatten().tolist() for key in ('mean', 'std')}
        record['bgr_to_rgb'] = True
    if classifier and source.classifier:
        data = to_onnx(dense_classifier(source, cut), ['logits'], record, channels)
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
    """Convert a dense network in evaluation mode; number and size of images stay free.

    It goes from normalised images (N, C, H, W) to one tensor (N, ...), or a sequence of them with
    these ``names``. ``meta`` is plain data, in the file under the key ``mmgradaug``.

    Raises:
        ConfigError: If onnxruntime's outputs differ by more than 1e-4 of an output's largest entry.
    """
    import onnxruntime  # optional

    free = torch.export.Dim.DYNAMIC
    program: Any = torch.onnx.export(
        network,
        (torch.zeros(2, channels, 96, 128),),
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=list(names),
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    model = program.model_proto
    model.metadata_props.add(key='mmgradaug', value=json.dumps(meta))
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    for count, height, width in ((2, 96, 128), (1, 160, 64)):
        images = torch.randn(count, channels, height, width)
        with torch.no_grad():
            expected = network(images)
        expected = [expected] if isinstance(expected, Tensor) else expected
        found = [torch.from_numpy(out) for out in session.run(None, {'images': images.numpy()})]
        require_equal(found, expected, 'try another version of onnxruntime')
    return data
