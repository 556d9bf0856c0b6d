"""tools/train.py and tools/test.py on a few generated images, and what they put into a config."""

import os
import re
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmdet.models import FasterRCNN
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.optim import SGD

from mmgradaug import GradAugDetector, GradAugDistributedDataParallel
from mmgradaug.engine import train
from mmgradaug.engine.console import short
from mmgradaug.engine.hooks import VersionsHook
from mmgradaug.errors import ConfigError
from tests.harmful import Command
from tests.networks import build, detector_config
from tests.shapes_run import CONFIG, shapes_options
from tools import test as test_tool
from tools import train as train_tool

EPOCHS = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=2']
MODEL = dict(type='GradAugDetector', gradaug=dict(num_subnets=2))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return [*shapes_options(tmp_path_factory.mktemp('shapes'), train=4), *EPOCHS]


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """A run of two epochs."""
    work_dir = tmp_path_factory.mktemp('run')
    start(train_tool.main, CONFIG, '--work-dir', work_dir, options=data)
    return work_dir


def start(main, *args, options=()):
    """Run a tool in this process."""
    words = (*args, '--cfg-options', *options) if options else args
    main([str(word) for word in words])


@pytest.mark.parametrize(('iteration', 'said'), [
    (2, 'stopped after 1 of 2 epochs, 2 iterations\ngo on with: python .* --resume'),
    (0, 'stopped after 0 of 2 epochs, 0 iterations\nnothing is saved yet, start again with: .*'),
])  # fmt: skip
def test_ctrl_c_says_how_to_go_on(data, tmp_path, capfd, monkeypatch, iteration, said):
    def stop(hook, runner, *args, **kwargs):
        if runner.iter == iteration:
            raise KeyboardInterrupt

    monkeypatch.setattr(VersionsHook, 'after_train_iter', stop)
    (tmp_path / 'last_checkpoint').write_text('of another run')
    os.utime(tmp_path / 'last_checkpoint', (0, 0))
    with pytest.raises(SystemExit) as stopped:
        start(train_tool.main, CONFIG, '--work-dir', tmp_path, options=data)
    assert stopped.value.code == 130
    printed = capfd.readouterr()
    assert re.search(f'\n{said}\n$', printed.err)
    assert ('--resume' in printed.err) == (iteration == 2)
    assert '3 passes per step: full network and 2 sub-networks; their gradients' in printed.out
    entries = [line for line in printed.out.splitlines() if 'Epoch(train)' in line]
    assert len(entries) == iteration
    for entry in entries:
        named = r'(\[1\]\[\d/2\])  eta: \S+  loss: \S+  full/loss: \S+  (.*)'
        losses = re.findall(r'\w+(?=: \d\.\d{3}(?:  |$))', re.search(named, entry)[2])
        assert (losses[0], losses[-2:]) == ('loss_rpn_cls', ['loss_mask', 'agree'])
    assert not re.search('subnet2|Config:|System environment|FileClient', printed.out)
    full = next(tmp_path.glob('*/*.log')).read_text()
    for text in ('Config:\n', 'System environment:', '"FileClient"'):
        assert text in full
    assert full.count('  subnet2/agree_mask: ') == iteration


class OwnStep(FasterRCNN):
    """A user's detector with a training step of its own."""

    def train_step(self, data, optim_wrapper):
        raise NotImplementedError


class OwnUpdate(OptimWrapper):
    """A user's optimizer wrapper."""

    def update_params(self, loss, *args, **kwargs):
        raise NotImplementedError


@pytest.mark.parametrize('own', [True, False])
def test_what_the_step_of_gradaug_does_not_call_is_warned_of(own):
    model = build(detector_config(mask=False) | dict(detector=OwnStep if own else FasterRCNN))
    optim_wrapper = (OwnUpdate if own else OptimWrapper)(SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=optim_wrapper, logger=mock.Mock())
    VersionsHook().before_run(runner)
    told = [call.args[0].partition(' ')[0] for call in runner.logger.warning.call_args_list]
    assert told == (['OwnStep.train_step', 'OwnUpdate.update_params'] if own else [])


def test_entries_of_other_log_processors_are_shown():
    entry = 'Epoch(train)  [1][1/2]  eta: 0:00:01  loss: 2.5,  full/loss: 1.5,  loss_cls: 0.5,'
    assert short(entry).endswith('loss: 2.500  full/loss: 1.500  loss_cls: 0.500')


def test_testing_writes_results_and_pictures(trained, data, tmp_path):
    out = tmp_path / 'new/results.pkl'
    where = ['--work-dir', tmp_path, '--show-dir', 'shown', '--out', out]
    options = [*data, 'model.test_cfg.rcnn.score_thr=0.0']
    start(test_tool.main, CONFIG, trained / 'epoch_2.pth', *where, options=options)
    assert out.stat().st_size > 0
    assert len(list(tmp_path.glob('*/shown/*.png'))) == 2


def test_testing_with_flips(trained, data, tmp_path, capfd):
    """mmdet averages flipped predictions of boxes, not of masks."""
    boxes = ['model.detector=FasterRCNN', 'model.roi_head.mask_head=None']
    options = [*data, *boxes, 'test_evaluator.metric=bbox']
    where = ['--work-dir', tmp_path, '--tta']
    start(test_tool.main, CONFIG, trained / 'epoch_2.pth', *where, options=options)
    assert 'Evaluate annotation type *bbox*' in capfd.readouterr().out
    cfg = Config.fromfile(tmp_path / CONFIG.name)
    assert cfg.default_hooks.bad_images.type == 'BadImagesHook'  # written down, for mmdet's tools
    (no_flip, flip), (pack,) = cfg.test_dataloader.dataset.pipeline[-1].transforms
    assert (no_flip.prob, flip.prob) == (0, 1)
    assert {'flip_direction', 'ori_shape'} < set(pack.meta_keys)


@pytest.mark.parametrize('main', [train_tool.main, test_tool.main])
def test_both_tools_load_as_data_only(data, tmp_path, main, monkeypatch):
    """Also what no check has seen."""
    made, harmful = tmp_path / 'made', tmp_path / 'harmful.pth'
    torch.save(dict(state_dict={}, extra=Command(made)), harmful)
    monkeypatch.setattr(train, 'check_run', lambda *_: None)
    args = [harmful] if main is test_tool.main else ['--resume', harmful]
    with pytest.raises(SystemExit, match=r'error: .*harmful\.pth holds posix\.system'):
        start(main, CONFIG, *args, '--work-dir', tmp_path / 'run', options=data)
    assert not made.exists()


def test_scaled_rates_need_their_batch_size():
    with pytest.raises(SystemExit, match='needs auto_scale_lr=dict'):
        start(train_tool.main, CONFIG, '--auto-scale-lr', options=['auto_scale_lr=None'])


@pytest.fixture
def configured(monkeypatch):
    """Returns the config from which a command line builds a run."""
    monkeypatch.setattr(train, 'check_run', lambda *_: None)
    from_cfg = mock.Mock()
    monkeypatch.setattr(Runner, 'from_cfg', from_cfg)

    def config(*args, options=()):
        start(train_tool.main, CONFIG, *args, options=options)
        return from_cfg.call_args.args[0]

    return config


def test_options_of_the_command_line(configured):
    plain = configured()
    assert plain.work_dir == f'work_dirs/{CONFIG.stem}'
    mixed = configured('--amp', '--resume', 'epoch_1.pth', options=['work_dir=mine'])
    assert mixed.work_dir == 'mine'
    assert (mixed.resume, mixed.load_from) == (True, 'epoch_1.pth')
    assert plain.optim_wrapper.type == 'OptimWrapper'
    amp = dict(type='AmpOptimWrapper', loss_scale='dynamic')
    assert mixed.optim_wrapper == dict(plain.optim_wrapper, **amp)
    options = ['work_dir=mine', 'auto_scale_lr.base_batch_size=8']
    cfg = configured('--resume', '--auto-scale-lr', '--work-dir', 'other', options=options)
    assert cfg.work_dir == 'other'
    assert (cfg.resume, cfg.load_from, cfg.auto_scale_lr.enable) == (True, None, True)


def test_resuming_a_run_that_has_not_begun_starts_from_the_configs_weights(
    configured, tmp_path, capsys
):
    options = ['load_from=coco.pth', f'work_dir={tmp_path}']
    (tmp_path / 'coco.pth').touch()
    cfg = configured('--resume', options=options)
    assert (cfg.resume, cfg.load_from) == (False, 'coco.pth')
    assert 'warning: nothing to resume in' in capsys.readouterr().err
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    cfg = configured('--resume', options=options)
    assert (cfg.resume, cfg.load_from) == (True, None)


def hooks_of(loops=('train', 'val'), **cfg):
    """Hooks and imports of a config after ours are added."""
    cfg = Config(cfg)
    train._add_hooks(cfg, loops)
    return cfg.default_hooks, cfg.custom_imports


def test_hooks_take_the_place_of_those_they_extend():
    hooks, imports = hooks_of(default_hooks=None, custom_imports=None)
    assert hooks == dict(
        sampler_seed=dict(type='ReproducibleHook'),
        checkpoint=dict(type='SafeCheckpointHook', interval=1),
        bad_images=dict(type='BadImagesHook'),
        pending_validation=dict(type='PendingValidationHook'),
        versions=dict(type='VersionsHook'),
    )
    assert imports == dict(imports=['mmgradaug'], allow_failed_imports=False)
    assert hooks_of(('test',))[0] == dict(bad_images=dict(type='BadImagesHook'))
    drawing = dict(visualization=dict(type='DetVisualizationHook', draw=True))
    expected = dict(type='AnyImageVisualizationHook', draw=True)
    assert hooks_of(('test',), default_hooks=drawing)[0].visualization == expected


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook])
def test_options_of_the_user_stay(kind):
    configured = dict(checkpoint=dict(type=kind, interval=7), bad_images=dict(max_bad_images=5))
    imported = dict(imports='mine', allow_failed_imports=True)
    hooks, imports = hooks_of(default_hooks=configured, custom_imports=imported)
    assert hooks.checkpoint == dict(type='SafeCheckpointHook', interval=7)
    assert hooks.bad_images == dict(type='BadImagesHook', max_bad_images=5)
    assert imports == dict(imports=['mine', 'mmgradaug'], allow_failed_imports=True)


def test_hooks_that_the_user_took_out_or_replaced_stay_so():
    mine = dict(type='MyHook')
    own = dict(checkpoint=mine, sampler_seed=None, bad_images=None, versions=mine)
    hooks = hooks_of(default_hooks=own)[0]
    assert {place: hooks.get(place) for place in own} == own
    assert 'bad_images' not in hooks  # mmengine builds what it does not know


def wrapper_of(model=MODEL, launcher='pytorch', **cfg):
    """The wrapper's config after ours is added."""
    cfg = Config(dict(model=model, launcher=launcher, **cfg))
    train._set_wrapper(cfg)
    return cfg.get('model_wrapper_cfg')


def test_a_gradaug_config_gets_its_wrapper():
    name = 'GradAugDistributedDataParallel'
    for kind in ('GradAugDetector', 'mmgradaug.GradAugDetector'):
        found = wrapper_of(dict(MODEL, type=kind), launcher='none')  # it is written down
        assert found == dict(type=name, find_unused_parameters=False)
    assert wrapper_of(find_unused_parameters=True)['find_unused_parameters']
    own = dict(find_unused_parameters=True, broadcast_buffers=True)
    assert wrapper_of(model_wrapper_cfg=own) == dict(type=name, **own)
    mine = type('Mine', (GradAugDistributedDataParallel,), {})
    for kind in (name, f'mmgradaug.{name}', mine):
        for unused in (False, True):
            wrapper = wrapper_of(model_wrapper_cfg=dict(type=kind), find_unused_parameters=unused)
            assert wrapper == dict(type=kind, find_unused_parameters=unused)
    defaults = dict(MODEL, gradaug=None)
    assert wrapper_of(defaults, model_wrapper_cfg=dict(type=name))['type'] == name
    MODELS.register_module('Own', module=type('Own', (GradAugDetector,), {}), force=True)
    assert wrapper_of(dict(MODEL, type='Own'))['type'] == name


@pytest.mark.parametrize('kind', [
    'MMDistributedDataParallel', 'MMSeparateDistributedDataParallel', 'MMFullyShardedDataParallel',
    'DistributedDataParallel', 'DataParallel', MMDistributedDataParallel,
])  # fmt: skip
def test_wrappers_that_would_drop_sub_networks_are_refused(kind):
    with pytest.raises(ConfigError, match=r'DataParallel.* would train without sub-networks'):
        wrapper_of(model_wrapper_cfg=dict(type=kind))
    with pytest.raises(ConfigError, match=r"strategy.type='DDPStrategy' would train without"):
        wrapper_of(strategy=dict(type='DDPStrategy'))
    wrapper_of(dict(type='MaskRCNN'), strategy=dict(type='DDPStrategy'))
    plain = dict(MODEL, gradaug=dict(num_subnets=0))
    assert wrapper_of(plain, model_wrapper_cfg=dict(type=kind)) == dict(type=kind)


def test_plain_training_on_the_cpu_names_no_gpu(monkeypatch):
    stock = dict(type='MaskRCNN')
    options = dict(device_ids=None, broadcast_buffers=False, find_unused_parameters=False)
    assert wrapper_of(stock) == dict(type='MMDistributedDataParallel', **options)
    assert wrapper_of(stock, launcher='none') is None
    monkeypatch.setattr(train, 'get_device', lambda: 'cuda')
    assert wrapper_of(stock) is None
