"""Labels and predictions of detectors, drawn on images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from mmgradaug.visualization.canvas import colour_at, save_figure
from mmgradaug.visualization.objects import draw_objects
from mmgradaug.visualization.predictions import found_objects, picture_predictions
from mmgradaug.visualization.subnets import picture_subnets
from tests.networks import build, detector_config, saved_run
from tests.shapes_run import shapes_config
from tests.visualization.pictures import count_pixels, pixels_of
from tools import figures

SIZE = (60, 80)


def make_instances(count=2, masks=False, size=SIZE):
    """Objects side by side, each 15 x 20 pixels."""
    boxes = torch.tensor([[20.0 * i, 10, 20 * i + 15, 30] for i in range(count)]).view(-1, 4)
    instances = InstanceData(bboxes=boxes, labels=torch.arange(count) % 2)
    if masks:
        bitmaps = np.zeros((count, *size), np.uint8)
        for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes.int(), strict=True):
            bitmap[y1:y2, x1:x2] = 1
        instances.masks = BitmapMasks(bitmaps, *size)
    return instances


def drawn(instances, ignored=None):
    return draw_objects(np.full((*SIZE, 3), 20, np.uint8), instances, ['nucleus', 'other'], ignored)


def test_boxes_have_their_classes_colours_in_an_enlarged_image():
    image = drawn(make_instances())
    assert image.shape == (5 * 60, 5 * 80, 3)
    for label in (0, 1):
        # Blended with the ground.
        colour = [0.4 * int(colour_at(label)[i : i + 2], 16) + 0.6 * 20 for i in (1, 3, 5)]
        near = np.abs(image - np.asarray(colour)).max(axis=2) <= 2
        assert near.sum() > 200
        columns = np.flatnonzero(near.any(axis=0))
        assert columns.min() >= 100 * label - 3 and columns.max() <= 100 * label + 75 + 3


@pytest.mark.parametrize('as_tensor', [True, False])
def test_masks_tint_their_pixels_alone_and_are_padded_to_the_image(as_tensor):
    instances = make_instances(1, masks=True, size=(50, 70))
    if as_tensor:
        instances.masks = torch.as_tensor(instances.masks.masks).bool()
    changed = (drawn(instances) != 20).any(axis=2)
    assert changed[5 * 15 : 5 * 28, 5 * 3 : 5 * 12].all()
    assert not changed[5 * 35 :].any() and not changed[:, 5 * 25 :].any()


def test_ignored_regions_are_grey_and_nothing_to_draw_is_the_image():
    image = drawn(make_instances(1), make_instances(3)[2:])
    grey = '#535353'  # 179 over the ground
    assert count_pixels(image, grey) > 200 > count_pixels(drawn(make_instances(3)), grey)
    assert (drawn(make_instances(0, masks=True)) == 20).all()
    assert (drawn(make_instances(0), make_instances(0)) == 20).all()


def test_pictures_of_a_detector(tmp_path):
    cfg = shapes_config(tmp_path / 'shapes', model=detector_config(), size=(96, 96), objects=(3, 5))
    cfg.model.test_cfg.rcnn.max_per_img = 5
    model = build(cfg.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    paths = [tmp_path / 'all.png', tmp_path / 'none.png', tmp_path / 'subnets.png']
    for path, threshold in zip(paths, (0.0, 1.1), strict=False):
        np.random.seed(0)  # mmdet's visualizer draws the tones of masks
        save_figure(picture_predictions(cfg, {'a': model}, 1, score_threshold=threshold), path)
    picture_subnets(cfg, model, paths[2:])
    model.dataset_meta = cfg.val_dataloader.dataset.metainfo
    (file, *_) = Path(cfg.val_dataloader.dataset.data_root, 'val').iterdir()
    wrapped = cfg.test_dataloader
    wrapped.dataset = dict(type='ConcatDataset', datasets=[wrapped.dataset])
    two = picture_predictions(cfg, dict(a=model, b=model), 1, 0.0, files=[file])
    titles = [f'{name}\nwith score >= 0: 5' for name in 'ab']
    assert [axes.get_title() for axes in two.axes] == [file.name, *titles]
    steps = cfg.val_dataloader.dataset.pipeline
    cfg.val_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'LoadAnnotations']
    assert len(picture_predictions(cfg, dict(a=model), 1).axes) == 2
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None  # mmdet's for no validation
    written = saved_run(tmp_path, cfg, model)  # without classes
    words = f'--images {file} --score 0 --out {tmp_path}'
    figures.main(['detections', *written, *words.split()])
    meta = dict(dataset_meta=dict(CLASSES=('a', 'b', 'c')))  # as in files of mmdet 3.0rc
    torch.save(dict(state_dict=model.state_dict(), meta=meta), written[1])
    figures.main(['detections', *written, *words.split()])
    assert pixels_of(tmp_path / 'detections.png').std() > 10
    everything, nothing, _ = map(pixels_of, paths)
    width = everything.shape[1]
    differs = (everything != nothing).any(axis=(0, 2)).nonzero()[0]
    assert differs.min() > 0.6 * width, 'predictions are in the third column'
    assert pixels_of(paths[2]).std() > 10
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_segments_of_a_panoptic_map_are_objects():
    things = torch.tensor([[0, 0, 2], [INSTANCE_OFFSET, 0, 2], [3, 3, 3]])  # 3: what has no class
    sample = DetDataSample(pred_panoptic_seg=PixelData(sem_seg=things[None]))
    found = found_objects(sample, 3)
    assert found.labels.tolist() == [0, 2, 0]
    assert found.bboxes.tolist() == [[0, 0, 1, 1], [2, 0, 2, 1], [0, 1, 0, 1]]
    assert [mask.sum() for mask in found.masks] == [3, 2, 1]
    assert found[found.scores > 0.5].scores.tolist() == [1.0] * 3
