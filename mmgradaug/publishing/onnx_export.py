"""Write a network as ONNX, and check it against the original in onnxruntime."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.deformable import deformable_layers

PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
TOLERANCE = 1e-4  # of the largest entry of an output, at least of 1
CHECKED_SIZES = ((2, 96, 128), (1, 160, 64))  # images, height, width


def check_onnx_packages() -> None:
    """Raise if a package that writes or checks ONNX is missing.

    Raises:
        ValueError: With the names and the command that installs them.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f'--to onnx needs {", ".join(missing)}, which this environment lacks: '
            f'pip install {" ".join(missing)} (or mmgradaug[onnx])'
        )


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
        ValueError: If a package is missing, a convolution is deformable, or onnxruntime's outputs
            differ.
    """
    check_onnx_packages()
    for name, layer in deformable_layers(network):
        raise ValueError(
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


def check_onnx(data: bytes, network: nn.Module, channels: int = 3) -> float:
    """Compare an ONNX file's outputs in onnxruntime with the network's, on two image sizes.

    Returns:
        The largest difference, relative to an output's largest entry or to 1 if that is larger.

    Raises:
        ValueError: If it is above 1e-4.
    """
    import onnxruntime  # optional: see `check_onnx_packages`

    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    error = 0.0
    for seed, (count, height, width) in enumerate(CHECKED_SIZES):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(count, channels, height, width, generator=generator)
        with torch.no_grad():
            expected = network(images)
        expected = [expected] if isinstance(expected, Tensor) else expected
        found = session.run(None, {'images': images.numpy()})
        errors = [_difference(torch.from_numpy(f), e) for f, e in zip(found, expected, strict=True)]
        error = max(error, *errors)
    if not error <= TOLERANCE:
        raise ValueError(
            f'onnxruntime differs from torch by {error:.1e}, expected at most {TOLERANCE}: try '
            'another version of onnxruntime'
        )
    return error


def _difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of two outputs, relative where they are larger than 1."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))
