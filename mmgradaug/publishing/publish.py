"""From a checkpoint to files that need no mmgradaug: detectors, backbones and classifiers.

``publish_*`` take what to publish (``source``) and the folder (``out``), and return the paths of
what they wrote; the others return networks. They raise a ConfigError if the weights do not fit the
config, the network cannot be cut, or other files are there already.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError
from ..slimmable import extract_subnet
from .key_maps import key_map, load_external, load_strictly
from .narrow import build_stock, narrow_backbone, narrow_detector, require_equal, require_stock
from .source import SAFETENSORS, Cut, Source, build_model, load_backbone, load_trained_model
from .stock_config import stock_backbone, stock_config
from .writing import backbone_name, checkpoint_bytes, own_tensors, record_of, write, write_named

HEADER = '''"""{network}: the config of {weights}.

Needs MMDetection 3.x alone. Written by mmgradaug {mmgradaug_version} from {source} of
{config}. Training starts from these weights.
"""
'''


def publish_detector(source: Source, cut: Cut, out: Path) -> tuple[Path, Path]:
    """Write a config and a checkpoint for an mmdet without mmgradaug; return their paths."""
    if cut.width is None:
        stock = stock_config(source.config())
        detector = build_stock(stock)
        load_strictly(detector, source.weights, source.path)
    else:
        stock, detector = narrow_detector(*load_trained_model(source, cut), cut.width)
    record = record_of(source, cut)
    record['network'] = f'{stock.model.type}, {backbone_name(stock.model.backbone)}'
    text = stock.pretty_text
    meta = {'cfg': text, 'mmgradaug': record}
    if source.meta.get('dataset_meta'):
        meta['dataset_meta'] = dict(source.meta['dataset_meta'])
    data = checkpoint_bytes(detector.state_dict(), meta)
    checkpoint = write_named(data, out, record, '.pth')
    header = HEADER.format(**record, weights=checkpoint.name)
    load_from = f"load_from = '{{{{ fileDirname }}}}/{checkpoint.name}'\n"
    config = f'{header}\n{text}{load_from}'.encode()
    return write(config, checkpoint.with_suffix('.py')), checkpoint


def publish_backbone(source: Source, cut: Cut, out: Path, for_mmdet: bool = False) -> Path:
    """Write the backbone alone, for ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    With ``for_mmdet``, a network that mmdet lacks is an error.
    """
    record, state = record_of(source, cut), source.backbone
    if cut.width is not None:
        options, backbone = cut_backbone(source, cut)
        record |= {'network': backbone_name(options), 'backbone': options}
        state = backbone.state_dict()
    elif source.cfg is not None or for_mmdet:
        backbone = load_backbone(source)  # whether everything is there
        if for_mmdet:
            require_stock(backbone)
    data = checkpoint_bytes(state, {'mmgradaug': record})
    return write_named(data, out, record, '.pth', 'backbone')


def publish_weights(
    source: Source, library: str, out: Path, classifier: bool, safetensors: bool
) -> Path:
    """Write a ResNet under the names of another library, as its own files have them.

    The weights are the whole file, so what they are is told by a JSON file beside it. The library
    has to have a network that computes the same. ``classifier`` keeps the linear layer, if there is
    one; ``safetensors`` writes that format instead of torch's.
    """
    state = {**source.backbone, **(source.classifier if classifier else {})}
    options, network = load_external(state, 'mmdet', source.path)
    if source.cfg is not None:
        image = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found, expected = network(image)[-1:], load_backbone(source)(image)[-1:]
        fix = (
            f'{source.path} has weights of {backbone_name(options)} and a config with strides, '
            f"dilations, style='caffe' or an activation that the network of {library} lacks"
        )
        require_equal(found, expected, fix, tolerance=1e-5)
    names = key_map(network, library)
    theirs = {names[key]: tensor for key, tensor in network.state_dict().items()}
    record = {**record_of(source, Cut()), 'network': backbone_name(options), 'library': library}
    if safetensors:
        from safetensors.torch import save  # optional

        data = save(own_tensors(theirs), {'mmgradaug': json.dumps(record)})
        path = write_named(data, out, record, SAFETENSORS, library)
    else:
        path = write_named(checkpoint_bytes(theirs), out, record, '.pth', library)
    write(f'{json.dumps(record, indent=2)}\n'.encode(), path.with_suffix('.json'))
    return path


def publish_classifier(source: Source, out: Path) -> Path:
    """Write a checkpoint that ``tools/pretrain.py --eval`` takes."""
    if not source.classifier:
        raise ConfigError(f'{source.path} has no classifier, expected fc.weight and fc.bias in it')
    backbone = {f'backbone.{key}': value for key, value in source.backbone.items()}
    state = {**backbone, **source.classifier}
    if source.cfg is not None:
        dense_classifier(replace(source, weights=state), Cut())  # whether everything is there
    record = record_of(source, Cut())
    data = checkpoint_bytes(state, {'mmgradaug': record})
    return write_named(data, out, record, '.pth', 'classifier')


def dense_classifier(source: Source, cut: Cut) -> Any:
    """Return a classifier or its sub-network with ordinary layers, in evaluation mode.

    It goes from normalised images (N, C, H, W) to logits (N, classes).
    """
    model = source.config().model
    known = ('num_classes', 'in_channels', 'data_preprocessor')
    options = {key: model[key] for key in known if key in model}
    stock = stock_backbone(model.backbone)
    plain: Any = build_model({'type': 'Classifier', 'backbone': stock, **options})
    load_strictly(plain, source.weights, source.path)
    if cut.width is not None:
        parent, _ = load_trained_model(source, cut)
        plain.backbone = extract_subnet(parent.backbone, cut.width).cpu()
        with torch.no_grad():
            image = torch.zeros(1, model.backbone.get('in_channels', 3), 64, 64)
            active = plain.backbone(image)[-1].size(1)
            # The other inputs are silent, so their weights do nothing.
            plain.fc.weight = nn.Parameter(plain.fc.weight[:, :active].clone())
            plain.fc.in_features = active
    return plain


def cut_network(source: Source, cut: Cut) -> Any:
    """Return a network as it was trained, or its sub-network with ordinary layers, to evaluate."""
    if cut.width is None:
        return load_trained_model(source, cut)[0]
    if source.is_classifier:
        return dense_classifier(source, cut).to(cut.device)
    return narrow_detector(*load_trained_model(source, cut), cut.width)[1]


def cut_backbone(source: Source, cut: Cut) -> tuple[dict[str, Any], Any]:
    """Return config and network of a narrow backbone, in mmdet's layers."""
    assert cut.width is not None
    model, cfg = load_trained_model(source, cut)
    stock = stock_backbone(cfg.model.backbone)
    return narrow_backbone(model.backbone, stock, cut.width)[:2]
