"""ONNX files give the backbone's outputs."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmgradaug import extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.onnx import to_onnx
from tests.networks import random_images, small_resnet


def test_images_of_other_sizes_and_numbers():
    onnx = pytest.importorskip('onnx')
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    options = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))
    network = extract_subnet(small_resnet(18, **options).eval(), 0.6)
    data = to_onnx(network, ['c2', 'c3'], {'width': 0.6})
    onnx.checker.check_model(onnx.load_from_string(data))
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    assert json.loads(session.get_modelmeta().custom_metadata_map['mmgradaug']) == {'width': 0.6}
    assert [o.name for o in session.get_outputs()] == ['c2', 'c3']
    for shape in ((1, 3, 33, 65), (3, 3, 64, 32)):
        images = random_images(*shape)
        found = session.run(None, {'images': images.numpy()})
        with torch.no_grad():
            expected = network(images)
        for array, tensor in zip(found, expected, strict=True):
            scale = max(1.0, tensor.abs().max().item())
            assert (torch.from_numpy(array) - tensor).abs().max() <= 1e-4 * scale


def test_a_file_that_computes_something_else_is_refused(monkeypatch):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    monkeypatch.setattr(onnxruntime.InferenceSession, 'run', lambda *_: [np.zeros((2, 4, 48, 64))])
    with pytest.raises(ConfigError, match='published network differ by'):
        to_onnx(nn.Conv2d(3, 4, 1), ['c2'], {})
