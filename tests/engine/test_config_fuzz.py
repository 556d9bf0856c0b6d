"""Whatever an option of a config is: training works, or ends with a message of ours, in time."""

import copy
import json
import signal
import traceback
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmgradaug
from mmgradaug.datasets.shapes import CLASSES, ShapesSpec, make_shapes
from mmgradaug.engine.mmdet_tools import run_tool
from tests.messages import one_line
from tests.networks import detector_config

SECONDS = 60  # of an example, which takes about one
PACKAGE = str(Path(mmgradaug.__file__).parent)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
# Sections that are damaged. Class names are left alone: a test of their own holds them.
SECTIONS = ('model.gradaug', 'model.backbone', 'train_dataloader')
VALUES = [None, True, -1, 0, 1, 2, 7, -0.5, 0.0, 0.3, 2.5, float('nan'), float('inf'), '', 'abc']
VALUES += [[], [1], [0.5, 'a'], [[]], {}, {'a': 1}]
DROP = 'dropped'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A config that trains a tiny detector for one iteration."""
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, ShapesSpec(3, size=(64, 64)), ShapesSpec(1, size=(64, 64)))
    dataset = dict(
        type='CocoDataset',
        data_root=f'{root}/',
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=CLASSES),
        filter_cfg=dict(filter_empty_gt=True, min_size=8),
        pipeline=PIPELINE,
    )
    return dict(
        default_scope='mmdet',
        model=detector_config(distill=dict(roi_cls='both', max_rois=20), num_subnets=1).to_dict(),
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            persistent_workers=False,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            dataset=dict(type='RepeatDataset', times=2, dataset=dataset),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_last=False, interval=9)),
        visualizer=dict(type='DetLocalVisualizer'),
        randomness=dict(seed=0),
    )


def places(config, path=()):
    """Paths of all options below a config, in their order."""
    items = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def damage_places(config):
    """Paths of the options that are damaged."""
    for section in SECTIONS:
        path = tuple(section.split('.'))
        part = config
        for key in path:
            part = part[key]
        yield from (place for place in places(part, path) if place[-1] != 'type')


def damaged(config, place, value):
    """A copy in which an option is another one, or gone."""
    config = copy.deepcopy(config)
    *path, last = place
    part = config
    for key in path:
        part = part[key]
    if value == DROP:
        del part[last]
    else:
        part[last] = value
    return config


@contextmanager
def no_longer_than(seconds):
    """Raise where the body takes longer."""

    def stop(*args):
        raise TimeoutError(f'not done in {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def is_ours(error):
    """Whether our own code raised an error on purpose, such as one of a training step."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.filename.startswith(PACKAGE) and last.line.startswith('raise')


def outcome(config, folder):
    """What tools/train.py makes of a config: 'works', or the message with which it ends.

    A traceback that nobody wrote a message for passes, and fails the test.
    """
    path = folder / f'{uuid.uuid4()}.json'
    path.write_text(json.dumps(dict(config, experiment_name=path.stem)))
    try:
        with no_longer_than(SECONDS):
            run_tool('train', [str(path), '--work-dir', str(folder / path.stem)], ('train',))
    except SystemExit as stopped:
        return one_line(stopped)
    except Exception as error:
        if not is_ours(error):
            raise
        return str(error)
    return 'works'


def check_damage(whole, folder, data):
    """Damage one or two options, and train."""
    config = whole
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(damage_places(config))))
        config = damaged(config, place, data.draw(st.sampled_from([DROP, *VALUES])))
    outcome(config, folder)


def profile(examples, **options):
    """Settings of hypothesis for so many examples."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=checks, **options
    )


def test_the_whole_config_works(whole, tmp_path):
    assert outcome(whole, tmp_path) == 'works'
    broken = damaged(whole, ('model', 'gradaug', 'min_width'), 2)
    assert 'gradaug.min_width' in outcome(broken, tmp_path)


@profile(8, derandomize=True)
@given(data=st.data())
def test_any_damage(whole, tmp_path, data):
    check_damage(whole, tmp_path, data)


@pytest.mark.slow
@profile(300)
@given(data=st.data())
def test_much_damage(whole, tmp_path, data):
    check_damage(whole, tmp_path, data)
