"""A real run, watched through mmengine's back ends and read back by the report."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import Dataset

from mmgradaug.reporting import read_run
from mmgradaug.reporting.charts import section_panels
from tests.networks import batch, detector_config

# As docs/CONFIG.md shows them.
BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]


@DATASETS.register_module()
class TinyImages(Dataset):
    """Two random images with labels."""

    metainfo = {'classes': ('a', 'b', 'c')}

    def __init__(self):
        data = batch((2, 1), size=64)
        self.items = list(zip(data['inputs'], data['data_samples'], strict=True))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        inputs, sample = self.items[index]
        return {'inputs': inputs, 'data_samples': sample}


@METRICS.register_module()
class Found(BaseMetric):
    """Under the names that COCO's metric gives."""

    default_prefix = 'coco'

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return {'bbox_mAP': 0.25, 'bbox_mAP_l': -1.0}


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A run of two iterations, each with a validation after it."""
    folder = tmp_path_factory.mktemp('watched')
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='TinyImages'),
    )
    cfg = Config(
        dict(
            default_scope='mmdet',
            model=detector_config(),
            work_dir=str(folder),
            train_dataloader=loader,
            val_dataloader=loader,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=dict(type='Found'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
            randomness=dict(seed=0),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='SafeCheckpointHook', interval=2),
                versions=dict(type='VersionsHook'),
            ),
            visualizer=dict(type='DetLocalVisualizer', name=folder.name, vis_backends=BACKENDS),
        )
    )
    Runner.from_cfg(cfg).train()
    return folder


def test_tensorboard_has_every_value_of_the_log_by_its_name(work_dir):
    data = next(work_dir.glob('*/vis_data'))
    lines = [json.loads(line) for line in (data / 'scalars.json').read_text().splitlines()]
    events = EventAccumulator(str(data)).Reload()
    told = {
        (tag, event.step, event.value)
        for tag in events.Tags()['scalars']
        for event in events.Scalars(tag)
    }
    logged = {
        (key, line['step'], torch.tensor(value, dtype=torch.float32).item())
        for line in lines
        for key, value in line.items()
        if key != 'step'
    }
    assert told == logged
    names = {name for name, _, _ in told}
    assert {'loss', 'full/seconds', 'subnet1/loss_mask_soft', 'subnet2/width'} < names
    assert all(key.count('/') <= 1 for key in names), 'a group for each pass, nothing nested'
    assert 'GradAugDetector' in str(events.Tensors('config/text_summary')[0].tensor_proto)


def test_the_report_reads_what_a_run_leaves(work_dir):
    run = read_run(work_dir)
    assert run.notes == []
    assert run.progress() == 'finished: epoch 2 of 2, iteration 2'
    assert run.metrics() == {'coco/bbox_mAP': ([1, 2], [0.25, 0.25])}
    assert run.config['model']['gradaug']['num_subnets'] == 2
    assert run.checkpoint == work_dir / 'epoch_2.pth'
    titles = [panel.title for panel in section_panels(run)['Losses']]
    assert titles[0] == 'loss by pass'
    assert {'loss_mask', 'loss_mask_soft', 'loss_rpn_bbox_hard'} < set(titles)
    assert len(titles) == len(set(titles))
