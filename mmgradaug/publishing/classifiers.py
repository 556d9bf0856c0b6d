"""Image classifiers for other libraries, and other libraries' for this one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..backbones.image_channels import image_channels
from ..slimmable import extract_subnet
from .conversion import State, check_same_function, to_layout
from .parent import build_backbone, build_parent, load_exactly
from .safetensors_files import SUFFIX, to_safetensors
from .source import BACKBONE, Cut, Source
from .stock_config import stock_backbone
from .writing import serialised, serialised_weights, write, write_named


def publish_weights(
    source: Source,
    layout: str,
    out: Path,
    overwrite: bool,
    classifier: bool | None = None,
    safetensors: bool = False,
) -> Path:
    """Write a ResNet under the names of another library, as its own files have them.

    The weights are the whole file, so what they are is told by a JSON file beside it.

    Args:
        source: A classifier, a detector or a backbone.
        layout: The library, one of :data:`~mmgradaug.publishing.layouts.LAYOUTS`.
        out: The folder.
        overwrite: Whether to replace files.
        classifier: Whether to keep the linear layer; None keeps it if there is one.
        safetensors: Whether to write that format instead of torch's.

    Returns:
        The path of the weights.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If the library has no such network, or one that computes something else.
    """
    backbone, head = source.parts()
    state = {**backbone, **kept_classifier(head, source, classifier)}
    architecture, theirs = to_layout(state, layout, source.path)
    if source.has_config and source.layout is None:
        check_same_function(build_backbone(source), backbone, architecture, source.path)
    record = {**source.record(Cut()), 'network': architecture.name, 'layout': layout}
    text = json.dumps(record)
    data = to_safetensors(theirs, {'mmgradaug': text}) if safetensors else None
    data = serialised_weights(theirs) if data is None else data
    suffix = SUFFIX if safetensors else '.pth'
    path = write_named(data, out, f'{record["config"]}_{layout}', suffix, overwrite)
    write(f'{json.dumps(record, indent=2)}\n'.encode(), path.with_suffix('.json'), overwrite)
    return path


def publish_classifier(source: Source, out: Path, overwrite: bool) -> Path:
    """Write a checkpoint that ``tools/pretrain.py --eval`` takes.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If the checkpoint is no classifier's.
    """
    backbone, head = source.parts()
    head = kept_classifier(head, source, True)
    state = {**{f'{BACKBONE}{key}': value for key, value in backbone.items()}, **head}
    if source.has_config and source.layout is None:
        load_exactly(plain_classifier(source), state, source.path)
    record = source.record(Cut())
    data = serialised(state, {'mmgradaug': record})
    return write_named(data, out, f'{record["config"]}_classifier', '.pth', overwrite)


def kept_classifier(head: State, source: Source, keep: bool | None) -> State:
    """A classifier's linear layer if it is to be kept.

    Raises:
        ValueError: If there is none, and one is asked for.
    """
    if keep and not head:
        raise ValueError(
            f'{source.path} has no classifier (fc.weight and fc.bias), expected a checkpoint of '
            'tools/pretrain.py, or weights with a classifier: leave out --classifier'
        )
    return {} if keep is False else head


def plain_classifier(source: Source) -> Any:
    """A classifier of stock layers with untrained weights, of the network in the config."""
    init_default_scope('mmdet')
    model = source.config().model
    known = ('num_classes', 'in_channels', 'data_preprocessor')
    options = {key: copy.deepcopy(model[key]) for key in known if key in model}
    backbone = stock_backbone(model.backbone)
    return MODELS.build({'type': 'Classifier', 'backbone': backbone, **options})


def dense_classifier(source: Source, cut: Cut) -> Any:
    """A classifier or its sub-network of a width, with ordinary layers, in evaluation mode.

    Returns:
        From normalised images (N, C, H, W) to logits (N, classes).

    Raises:
        ValueError: If the weights do not fit, or the backbone cannot be cut.
    """
    plain = plain_classifier(source)
    load_exactly(plain, source.weights, source.path)
    if cut.width is not None:
        parent, _ = build_parent(source, cut)
        plain.backbone = extract_subnet(parent.backbone, cut.width).cpu()
        with torch.no_grad():
            channels = image_channels(source.config().model.backbone)
            active = plain.eval().backbone(torch.zeros(1, channels, 64, 64))[-1].size(1)
            # The other inputs are silent, so their weights do nothing.
            plain.fc.weight = nn.Parameter(plain.fc.weight[:, :active].clone())
            plain.fc.in_features = active
    return plain.eval()
