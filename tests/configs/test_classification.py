"""Classification configs say what their names say, and build."""

import ast
import copy
import functools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmgradaug.classification import BatchMix
from mmgradaug.classification.distillation import ClassDistillation
from mmgradaug.engine.checks import warn_of_schedule
from mmgradaug.training import GradAugOptions
from tests.classification import tiny

FOLDER = Path(__file__).parents[2] / 'configs/classification'
CONFIGS = sorted(FOLDER.glob('*.py'))
# {network}_{data set}[_{method}[-{method}]][_{variation}]
PARAMETERS = {  # in millions, as published
    ('resnet50', 'imagenet'): 25.6,
    ('resnet152d', 'imagenet'): 60.2,
    ('wrn28-10', 'cifar100'): 36.5,
    ('pyramidnet200', 'cifar100'): 26.8,
    ('resnet110', 'cifar10'): 1.7,
    ('wrn28-2', 'stl10'): 1.5,
}
DATA = {'imagenet': (1000, 'data/imagenet/'), 'cifar100': (100, 'data/cifar/'),
        'cifar10': (10, 'data/cifar/'), 'digits': (10, 'data/digits/'),
        'stl10': (10, 'data/stl10/')}  # fmt: skip
REGULARISERS = {'dropblock': 'DropBlock', 'droppath': 'DropPath', 'shakedrop': 'ShakeDrop',
                'stochdepth': 'StochasticDepth'}  # fmt: skip
METHODS = {'gradaug', 'cutmix', 'mixup', 'cutout', 'bagoftricks', *REGULARISERS}


ROWS = {  # of the paper's tables, by the names of the methods
    'resnet50_imagenet': '_ _cutout _dropblock _mixup _cutmix _stochdepth _droppath _shakedrop '
                         '_gradaug _bagoftricks _gradaug-cutmix',
    'wrn28-10_cifar100': '_ _mixup _cutmix _shakedrop _gradaug _cutmix-shakedrop _gradaug-cutmix',
    'pyramidnet200_cifar100': '_ _mixup _cutmix _shakedrop _gradaug _cutmix-shakedrop '
                              '_gradaug-cutmix',
    'resnet110_cifar10': '_ _stochdepth _gradaug',
    'resnet110_cifar100': '_ _stochdepth _gradaug',
}  # fmt: skip


read = functools.cache(Config.fromfile)


def words_of(path):
    network, data, *rest = path.stem.split('_')
    methods = rest[0].split('-') if rest else []
    return network, data, methods, rest[1:]


@pytest.mark.parametrize('base', ROWS)
def test_every_row_of_tables_1_3_and_6_has_a_config(base):
    names = {(base + method).rstrip('_') for method in ROWS[base].split()}
    assert names <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_the_name_says_what_it_is(path, capsys):
    network, data, methods, _ = words_of(path)
    assert set(methods) <= METHODS
    cfg = read(path)
    warn_of_schedule(cfg)
    assert capsys.readouterr().err == ''
    classes, root = DATA[data]
    assert cfg.model.num_classes == classes
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == root
    assert (cfg.model.type == 'GradAugClassifier') == ('gradaug' in methods)
    backbone = cfg.model.backbone
    named = {REGULARISERS[method] for method in methods if method in REGULARISERS}
    if network == 'resnet110':
        assert backbone.get('stochastic', False) == bool(named)
    else:
        assert {backbone.get('regulariser', {}).get('type')} - {None} == named
    slimmable = 'gradaug' in methods or (network == 'resnet50' and named)
    assert backbone.type.startswith('Slimmable') == bool(slimmable)
    mix = cfg.model.data_preprocessor.get('mix') or {}
    mixes = {'cutmix', 'mixup'} & set(methods)
    assert bool(mix) == bool(mixes or 'bagoftricks' in methods)
    assert not mixes or {'CutMix': 'cutmix', 'MixUp': 'mixup'}[mix.type] in mixes
    if mix and 'gradaug' in methods:
        assert mix.prob == (0.5 if mix.type == 'CutMix' else 1.0)
    pipeline = [t['type'] for t in cfg.train_dataloader.dataset.pipeline]
    assert ('Cutout' in pipeline) == ('cutout' in methods)
    assert pipeline[-1] == 'PackImage'


@functools.cache
def network_of(text):
    """Keys and number of parameters of a classifier without its GradAug options."""
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(ast.literal_eval(text))
    return list(model.state_dict()), sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_with_the_baselines_keys(path):
    network, data, *_ = words_of(path)
    found = []
    for name in (path, FOLDER / f'{network}_{data}.py'):
        model = read(name).model
        gradaug = GradAugOptions.parse(model.get('gradaug'))
        assert gradaug.sampler.num_subnets == 3
        BatchMix(model.data_preprocessor.get('mix') or [])
        ClassDistillation.parse((model.get('gradaug') or {}).get('distill'))
        options = dict(type='Classifier', backbone=dict(model.backbone))
        found.append(network_of(repr(options | dict(num_classes=model.num_classes))))
    if 'bagoftricks' not in path.stem:  # another stem
        assert found[0][0] == found[1][0]
    millions = PARAMETERS.get((network, data), found[0][1] / 1e6)
    assert found[0][1] / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    'path', [p for p in CONFIGS if 'imagenet' in p.name], ids=lambda path: path.stem
)
def test_imagenet_is_trained_as_the_paper_says(path):
    """Section 4.1: 120 epochs, batches of 512 on 8 GPUs, learning rate 0.2, cosine."""
    cfg = read(path)
    tricks = isinstance(cfg.param_scheduler, list)
    cosine = cfg.param_scheduler[1] if tricks else cfg.param_scheduler
    epochs = 200 if 'bagoftricks' in path.name else 120
    warm_up = 5 if tricks else 0
    assert cfg.train_cfg.max_epochs == cosine.T_max + warm_up == epochs
    assert cfg.optim_wrapper.optimizer.lr == 0.2
    batch = 256 if 'batch256' in path.name else 512
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    if cfg.model.type != 'GradAugClassifier':
        return
    gradaug = cfg.model.gradaug
    assert (gradaug.num_subnets, gradaug.min_width) == (3, 0.9)
    steps = gradaug.transform.get('transforms', [gradaug.transform])
    kinds = {step['type']: step for step in steps}
    assert ('RandomRotate' in kinds) == ('rotation' in path.name)
    assert ('RandomScale' in kinds) == (not path.name.endswith('_rotation.py'))
    if 'RandomScale' in kinds:
        sizes = [224 * scale for scale in kinds['RandomScale']['scales']]
        assert sizes == pytest.approx([224, 192, 160, 128])
        assert kinds['RandomScale']['align_corners']


CIFAR = {  # epochs, batch size, learning rate, weight decay
    'wrn28-10': (200, 128, 0.1, 5e-4),
    'pyramidnet200': (300, 64, 0.25, 1e-4),
    'resnet110': (500, 128, 0.1, 1e-4),
}


@pytest.mark.parametrize(
    'path', [p for p in CONFIGS if 'cifar' in p.name], ids=lambda path: path.stem
)
def test_cifar_is_trained_as_the_paper_says(path):
    """Section 4.2, tables 3 to 6."""
    cfg = read(path)
    network, _, _, variation = words_of(path)
    optimizer = cfg.optim_wrapper.optimizer
    found = (cfg.train_dataloader.batch_size, optimizer.lr, optimizer.weight_decay)
    assert found == CIFAR[network][1:]
    assert cfg.train_cfg.max_epochs == (200 if 'released' in variation else CIFAR[network][0])
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    if cfg.model.type != 'GradAugClassifier':
        return
    gradaug = cfg.model.gradaug
    assert gradaug.num_subnets == 3
    if network == 'resnet110':
        assert gradaug.shrink == 'depth'
    else:
        assert gradaug.min_width == (1.0 if 'randscale' in variation else 0.8)
    if not variation or 'randscale' in variation:
        sizes = [32 * scale for scale in gradaug.transform.scales]
        assert sizes == [32, 28, 24]
    assert (gradaug.transform is None) == ('randwidth' in variation)


def test_regularisers_have_their_authors_numbers():
    """Where these come from is said in the configs."""

    def found(name):
        cfg = read(FOLDER / f'{name}.py').model.backbone.regulariser.to_dict()
        return {k: v for k, v in cfg.items() if k != 'type'}

    shake = dict(survival=0.5, alpha=(-1.0, 1.0), beta=(0.0, 1.0))
    for network in ('wrn28-10', 'pyramidnet200'):
        assert found(f'{network}_cifar100_shakedrop') == shake
    # Blocks of ResNet-50 end with a ReLU.
    assert found('resnet50_imagenet_shakedrop') == shake | dict(alpha=(0.0, 0.0))
    assert found('resnet50_imagenet_stochdepth') == dict(survival=0.5)
    last_stage = dict(survival=(1.0, 1.0, 1.0, 0.9), ramp=True)
    assert found('resnet50_imagenet_droppath') == last_stage
    assert found('resnet50_imagenet_droppath_constant') == dict(survival=0.9, ramp=False)
    two_stages = dict(drop=(0.0, 0.0, 0.025, 0.1), block_size=7, ramp=True)
    assert found('resnet50_imagenet_dropblock') == two_stages


def test_stl10_has_1000_labels_drawn_evenly():
    for name in ('wrn28-2_stl10', 'wrn28-2_stl10_gradaug'):
        dataset = read(FOLDER / f'{name}.py').train_dataloader.dataset
        assert (dataset.name, dataset.split, dataset.labels_per_class) == ('STL10', 'train', 100)
        assert [t.get('size') for t in dataset.pipeline] == [96, None, None]


SMALL = {  # options of a backbone of the same kind, and the side of its images
    'resnet50': (dict(base_channels=4), 64),
    'resnet152d': (dict(depth=50, base_channels=4), 64),
    'wrn28-10': (dict(depth=10, widen_factor=0.25), 16),
    'pyramidnet200': (dict(depth=20, alpha=9), 16),
    'resnet110': (dict(depth=8), 16),
    'wrn28-2': (dict(depth=10, widen_factor=0.25), 32),
    'resnet18': (dict(base_channels=4), 64),
}


@pytest.mark.parametrize(
    'path', [p for p in CONFIGS if not words_of(p)[3]], ids=lambda path: path.stem
)
def test_a_small_one_makes_a_training_step(path):
    network, _, methods, _ = words_of(path)
    options, size = SMALL[network]
    cfg = copy.deepcopy(read(path))
    cfg.model.num_classes = 3
    cfg.model.backbone.update(options)
    if 'teacher' in cfg.model:
        cfg.model.teacher.network.num_classes = 3
        cfg.model.teacher.network.backbone.update(SMALL['resnet152d'][0])
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    if model.teacher:
        model.teacher.trained = model.teacher.network  # with random weights, which do here
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {p.ndim > 1: group['weight_decay'] for group in wrapper.optimizer.param_groups
              for p in group['params']}  # fmt: skip
    decay = cfg.optim_wrapper.optimizer.weight_decay
    assert decays == {True: decay, False: 0 if isinstance(cfg.param_scheduler, list) else decay}
    before = model.fc.weight.clone()
    log = model.train_step(tiny.batch(size=size), wrapper)
    assert torch.isfinite(torch.as_tensor(log['loss']))
    assert ('loss_teacher' in log) == ('bagoftricks' in methods)
    assert sum(key.endswith('/loss_cls_soft') for key in log) == 3 * ('gradaug' in methods)
    assert not torch.equal(before, model.fc.weight)
