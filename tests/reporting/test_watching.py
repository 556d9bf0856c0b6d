"""A real run, watched through mmengine's back ends and read back by the report."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmgradaug.engine.train import build_runner
from mmgradaug.reporting.charts import section_panels
from mmgradaug.reporting.run import read_run
from tests.networks import detector_config
from tests.shapes_run import shapes_config


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A run of two iterations, each with a validation after it."""
    folder = tmp_path_factory.mktemp('watched')
    cfg = shapes_config(folder / 'data')
    cfg.model = detector_config()
    cfg.work_dir, cfg.launcher = str(folder), 'none'
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.default_hooks.logger.interval = 1
    # As docs/CONFIG.md shows them.
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    cfg.visualizer.vis_backends = backends
    build_runner(cfg).train()
    return folder


def test_tensorboard_has_every_value_of_the_log_by_its_name(work_dir):
    data = next(work_dir.glob('*/vis_data'))
    lines = [json.loads(line) for line in (data / 'scalars.json').read_text().splitlines()]
    events = EventAccumulator(str(data)).Reload()
    tags = events.Tags()['scalars']
    told = {(tag, event.step, event.value) for tag in tags for event in events.Scalars(tag)}
    logged = {(key, line['step'], torch.tensor(value, dtype=torch.float32).item())
              for line in lines for key, value in line.items() if key != 'step'}  # fmt: skip
    assert told == logged
    names = {name for name, _, _ in told}
    assert {'loss', 'full/seconds', 'subnet1/loss_mask_soft', 'subnet2/width'} < names
    assert all(key.count('/') <= 1 for key in names), 'a group for each pass, nothing nested'
    assert 'GradAugDetector' in str(events.Tensors('config/text_summary')[0].tensor_proto)


def test_the_report_reads_what_a_run_leaves(work_dir):
    run = read_run(work_dir)
    assert run.notes == []
    assert run.progress() == 'finished: epoch 2 of 2'
    assert run.metrics()['coco/bbox_mAP'][0] == [1, 2]
    assert run.config['model']['gradaug']['num_subnets'] == 2
    titles = [panel.title for panel in section_panels(run)['Losses']]
    assert titles[0] == 'loss by pass'
    assert {'loss_mask', 'loss_rpn_bbox', 'loss_cls'} < set(titles)
    assert not any('roi' in title for title in titles)  # one panel for all passes
    assert len(titles) == len(set(titles))
