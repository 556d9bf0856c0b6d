"""ONNX files give the backbone's outputs."""

import json

import pytest
import torch

from mmgradaug import extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.onnx import check_onnx, to_onnx
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
    network.layer2[0].bn1.bias.data += 0.1  # no longer what was written
    with pytest.raises(ConfigError, match='published network differ by'):
        check_onnx(data, network)
