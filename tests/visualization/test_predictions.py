from pathlib import Path

import numpy as np
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmengine.structures import PixelData

from mmgradaug.visualization.canvas import save_figure
from mmgradaug.visualization.predictions import found_objects, picture_predictions
from mmgradaug.visualization.subnets import picture_subnets
from tests.networks import build, detector_config, saved_run
from tests.shapes_run import shapes_config
from tests.visualization.pictures import pixels_of
from tools import figures


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
    two = picture_predictions(cfg, dict(a=model, b=model), 1, 0.0, files=[file])
    titles = [f'{name} with score >= 0: 5' for name in 'ab']
    assert [axes.get_title() for axes in two.axes] == [file.name, *titles]
    steps = cfg.val_dataloader.dataset.pipeline
    cfg.val_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'LoadAnnotations']
    assert len(picture_predictions(cfg, dict(a=model), 1).axes) == 2
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None  # mmdet's for no validation
    written = saved_run(tmp_path, cfg, model)  # without classes
    words = f'--images {file} --score 0 --out {tmp_path}'
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
