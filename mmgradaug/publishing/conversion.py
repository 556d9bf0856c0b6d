"""The weights of a ResNet from one library's names to another's, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from .layouts import (
    ARCHITECTURES,
    CLASSIFIER,
    LAYOUTS,
    NOT_READ,
    Architecture,
    backwards,
    layer_names,
    renamed,
)
from .narrow import relative_difference

State = dict[str, Tensor]
COUNTER = '.num_batches_tracked'  # which files of old have not, and no network needs
TOLERANCE = 1e-5  # of the largest feature
MOST = 20  # names in a message


def from_layout(
    state: Mapping[str, Tensor], layout: str, source: Path
) -> tuple[Architecture, State]:
    """The weights of a library's ResNet under mmdet's names.

    Args:
        state: Weights under the library's names, with or without a classifier.
        layout: The library, one of :data:`~mmgradaug.publishing.layouts.LAYOUTS`.
        source: The file, for messages.

    Returns:
        Which ResNet it is, and its weights, ``fc.weight`` and ``fc.bias`` among them if it has
        a classifier.

    Raises:
        ValueError: If anything of the ResNet is missing, or of another shape, or if there is
            anything else; with its name.
    """
    architecture, names = identify(state, layout)
    problems = misfits(state, architecture, names)
    if problems:
        _refuse_groups(state, names, source)
        unusual = unusual_options(state, architecture, names)
        if unusual:
            found = ', '.join(f'{key}={value}' for key, (value, _) in unusual.items())
            usual = ', '.join(f'{key}={value}' for key, (_, value) in unusual.items())
            raise ValueError(
                f'{source} is {architecture.name} with {found}, expected {usual} as other '
                'libraries have: --to mmdet, backbone and onnx take the network of a run as it is'
            )
        others = [k for k in LAYOUTS if k != layout and not misfits(state, *identify(state, k))]
        problems.append(
            f'it is as {" and ".join(others)} have it' if others else NOT_READ.get(layout, '')
        )
        raise ValueError(
            f"{source} is no ResNet in {layout}'s layout; as {architecture.name} it has "
            f'{"; ".join(filter(None, problems))}'
        )
    return architecture, renamed(state, backwards(names))


def _refuse_groups(state: Mapping[str, Tensor], names: Mapping[str, str], source: Path) -> None:
    """Raise on a ResNeXt, which has a ResNet's names and other shapes."""
    weight = state.get(f'{names["layer1.0.conv2"]}.weight')
    if weight is not None and weight.dim() == 4 and weight.size(0) > weight.size(1):
        groups, size = weight.size(0) // weight.size(1), weight.size(1)
        raise ValueError(
            f'{source} is a ResNeXt with {groups} groups of {size} channels, expected a ResNet, '
            'since no other is converted: --to mmdet, backbone and onnx take a network as it is, '
            'with its config beside it or by --config'
        )


def to_layout(state: Mapping[str, Tensor], layout: str, source: Path) -> tuple[Architecture, State]:
    """The weights of mmdet's ResNet, and of a classifier, under a library's names.

    Args:
        state: Weights under mmdet's names, and ``fc.weight`` and ``fc.bias`` if there is a
            classifier.
        layout: The library.
        source: The file, for messages.

    Raises:
        ValueError: If they are not exactly those of a ResNet that the library has.
    """
    architecture, ours = from_layout(state, 'mmdet', source)
    names = layer_names(layout, architecture)
    if not names:
        raise ValueError(
            f'{source} is {architecture.name}, which {layout} has not, expected a ResNet with a '
            'stem of one convolution: --to timm takes all'
        )
    return architecture, renamed(ours, names)


def identify(state: Iterable[str], layout: str) -> tuple[Architecture, dict[str, str]]:
    """The ResNet whose layers come closest to those of a state dict, and its table of names."""
    found = {_layer(key) for key in state}
    tables = [(a, layer_names(layout, a)) for a in ARCHITECTURES]
    known = [(a, names) for a, names in tables if names]
    return min(known, key=lambda entry: len(found ^ set(entry[1].values())))


def misfits(
    state: Mapping[str, Tensor], architecture: Architecture, names: Mapping[str, str]
) -> list[str]:
    """What is missing from a library's state dict, too much in it, or of another shape."""
    expected = {_key(key, names): shape for key, shape in shapes_of(architecture).items()}
    head = [_key(f'{CLASSIFIER}.{tensor}', names) for tensor in ('weight', 'bias')]
    rows = next((state[key].shape[:1] for key in head if key in state), None)
    if rows is not None:
        expected |= {head[0]: torch.Size([*rows, architecture.features]), head[1]: rows}
    missing = [key for key in expected if key not in state and not key.endswith(COUNTER)]
    unexpected = [key for key in state if key not in expected]
    differing = [
        f'{key} {tuple(state[key].shape)} instead of {tuple(shape)}'
        for key, shape in expected.items()
        if key in state and state[key].shape != shape
    ]
    kinds = {'missing': missing, 'unexpected': unexpected, 'of another shape': differing}
    return [f'{len(keys)} {kind}: {_listed(keys)}' for kind, keys in kinds.items() if keys]


def unusual_options(
    state: Mapping[str, Tensor], architecture: Architecture, names: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Options of a network that has all layers of an architecture, and other numbers of channels.

    Returns:
        By the name of the option in mmdet the found and the usual value; empty if layers are
        missing, or if all are usual.
    """
    missing = set(names.values()) - {_layer(key) for key in state}
    if missing - {names[CLASSIFIER]}:
        return {}
    block = f'layer1.0.conv{3 if architecture.is_bottleneck else 2}'
    weights = [f'{layer}.weight' for layer in (architecture.layers()[0], block)]
    tensors = [state.get(_key(key, names)) for key in weights]
    first, last = ([] if tensor is None else list(tensor.shape) for tensor in tensors)
    if not len(first) == len(last) == 4:
        return {}
    base = last[0] // (4 if architecture.is_bottleneck else 1)
    stem = first[0] * (2 if architecture.deep_stem else 1)
    found = {'base_channels': (base, 64), 'in_channels': (first[1], 3)}
    # mmdet's default for the stem is what the stages have.
    found |= {'stem_channels': (stem, 64)} if stem != base else {}
    return {key: pair for key, pair in found.items() if pair[0] != pair[1]}


def shapes_of(architecture: Architecture) -> dict[str, torch.Size]:
    """Shape of every tensor of mmdet's network, in its order."""
    with torch.device('meta'):
        return {k: v.shape for k, v in standard_network(architecture).state_dict().items()}


def standard_network(architecture: Architecture) -> nn.Module:
    """mmdet's network of an architecture."""
    init_default_scope('mmdet')
    return MODELS.build({**architecture.options, 'out_indices': (3,)})


def check_same_function(
    backbone: nn.Module, state: Mapping[str, Tensor], architecture: Architecture, source: Path
) -> float:
    """Compare a run's backbone with the usual network of its weights, on a random image.

    Strides and dilations leave no trace in the weights.

    Args:
        backbone: The run's, with its weights, in evaluation mode; its last output counts.
        state: Its weights under mmdet's names.
        architecture: What they are the weights of.
        source: The file, for messages.

    Returns:
        The largest difference, relative to the largest feature.

    Raises:
        ValueError: If it is above 1e-5.
    """
    usual = standard_network(architecture)
    usual.load_state_dict({k: v for k, v in state.items() if _layer(k) != CLASSIFIER}, strict=False)
    usual.eval()  # returns nothing, in mmdet's ResNet
    image = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = usual(image)[-1], backbone(image)[-1]
    same = found.shape == expected.shape
    error = relative_difference(found, expected) if same else float('inf')
    if not error <= TOLERANCE:
        raise ValueError(
            f'the backbone of {source} has the weights of {architecture.name} and computes '
            f'something else (features differ by {error:.1e}, expected at most {TOLERANCE}): its '
            "config has strides, dilations, style='caffe' or an activation that others have not"
        )
    return error


def _layer(key: str) -> str:
    """The layer of a tensor."""
    return key.rpartition('.')[0]


def _key(key: str, names: Mapping[str, str]) -> str:
    """A tensor's name in a library."""
    layer, _, tensor = key.rpartition('.')
    return f'{names[layer]}.{tensor}'


def _listed(names: list[str]) -> str:
    """Names, the first of many."""
    return ', '.join(names[:MOST]) + (', ...' if len(names) > MOST else '')
