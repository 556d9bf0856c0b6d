"""The recorder shows what training's own passes saw; pictures of a run come from its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, save_checkpoint
from PIL import Image
from torch import nn

from mmgradaug.datasets.shapes import CLASSES
from mmgradaug.visualization import run_pictures
from mmgradaug.visualization.recorder import labels_of, recording_passes
from mmgradaug.visualization.run_pictures import load_run, picture_predictions, picture_subnets
from tests.shapes_run import shapes_config


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The shapes config on a data set of its own, with a smaller network."""
    config = shapes_config(tmp_path_factory.mktemp('shapes'), size=(96, 96), objects=(3, 5))
    config.model.backbone.base_channels = 8
    config.model.neck.in_channels = [8, 16, 32, 64]
    return config


@pytest.fixture(scope='module')
def model(config: Config) -> nn.Module:
    """The detector of the config, with random weights."""
    register_all_modules()
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    model.dataset_meta = {'classes': CLASSES}
    return model


def test_views_are_the_passes_of_one_step(config: Config, model: nn.Module) -> None:
    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    model.train()
    with recording_passes(model, image=1) as views:
        logs = model.train_step(batch, optimizer)
    model.train_step(batch, optimizer)
    assert len(views) == 3
    full, *subnets = views
    assert (full.width, full.scale, full.title) == (1.0, (1.0, 1.0), 'full network')
    for index, view in enumerate(subnets, start=1):
        assert view.title == f'sub-network {index}'
        assert view.width == pytest.approx(float(logs[f'subnet{index}/width']))
        x, y = view.scale
        padded = [-(-round(192 * factor) // 32) * 32 for factor in (y, x)]
        assert list(view.image.shape[1:]) == padded
        assert torch.allclose(view.boxes, full.boxes * torch.tensor([x, y, x, y]), atol=1e-3)
        assert torch.equal(view.labels, full.labels)
    assert set(full.labels.tolist()) - {-1}, 'labels are among the proposals'


def test_boxes_take_the_class_they_cover() -> None:
    objects = torch.tensor([[0.0, 0, 10, 10], [20.0, 20, 40, 40]])
    boxes = torch.tensor([[21.0, 20, 40, 40], [0.0, 0, 10, 4], [0.0, 0, 10, 6], [50.0, 50, 60, 60]])
    assert labels_of(boxes, objects, torch.tensor([2, 1])).tolist() == [1, -1, 2, -1]
    assert labels_of(boxes, objects[:0], torch.zeros(0, dtype=torch.long)).tolist() == [-1] * 4
    assert labels_of(boxes[:0], objects, torch.tensor([2, 1])).tolist() == []


def test_validation_data_without_labels_are_named() -> None:
    with pytest.raises(ValueError, match=r"loads no labels .*'LoadAnnotations'"):
        run_pictures._labelled(DetDataSample(metainfo={'img_path': 'a.png'}))


def test_pictures_of_a_run_from_its_checkpoint(
    config: Config, model: nn.Module, tmp_path: Path
) -> None:
    checkpoint = tmp_path / 'epoch_1.pth'
    meta = {'dataset_meta': {'classes': CLASSES}}
    save_checkpoint({'state_dict': model.state_dict(), 'meta': meta}, str(checkpoint))
    run = load_run(config, checkpoint)
    assert run.class_names == list(CLASSES)
    before = [p.detach().clone() for p in run.model.parameters()]
    for path in (
        picture_predictions(run, tmp_path / 'predictions.png', num_images=1),
        picture_subnets(run, tmp_path / 'subnets.png'),
    ):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert('L')).std() > 10
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
