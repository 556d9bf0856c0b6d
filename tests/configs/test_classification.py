"""Classification configs say what their names say, and build."""

import ast
import copy
import functools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

from mmgradaug.classification import BatchMix
from mmgradaug.classification.distillation import ClassDistillation
from mmgradaug.engine.checks import warn_of_schedule
from mmgradaug.training import GradAugOptions
from tests.classification import tiny

FOLDER = Path(__file__).parents[2] / 'configs/classification'
CONFIGS = sorted(FOLDER.glob('*.py'))
# {network}_{data set}[_{method}[-{method}]][_{variation}]
DATA = {'imagenet': (1000, 'data/imagenet/'), 'cifar100': (100, 'data/cifar/'),
        'cifar10': (10, 'data/cifar/'), 'digits': (10, 'data/digits/'),
        'stl10': (10, 'data/stl10/'), 'fashion': (10, 'data/fashion-mnist/')}  # fmt: skip
REGULARISERS = {'dropblock': 'DropBlock', 'droppath': 'DropPath', 'shakedrop': 'ShakeDrop',
                'stochdepth': 'StochasticDepth'}  # fmt: skip
RELATIVES = {'sandwich', 'mutualnet', 'masksub'}  # GradAug's step, others' methods
read = functools.cache(Config.fromfile)


def words_of(path):
    network, data, *rest = path.stem.split('_')
    methods = rest[0].split('-') if rest else []
    return network, data, methods, rest[1:]


def has_subnets(methods):
    return not {'gradaug', *RELATIVES}.isdisjoint(methods)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_the_name_says_what_it_is(path, capsys):
    network, data, methods, _ = words_of(path)
    cfg = read(path)
    warn_of_schedule(cfg)
    assert capsys.readouterr().err == ''
    classes, root = DATA[data]
    assert cfg.model.num_classes == classes
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == root
    assert (cfg.model.type == 'GradAugClassifier') == has_subnets(methods)
    backbone = cfg.model.backbone
    named = {REGULARISERS[method] for method in methods if method in REGULARISERS}
    if network == 'resnet110':
        assert backbone.get('stochastic', False) == bool(named)
    else:
        assert {backbone.get('regulariser', {}).get('type')} - {None} == named
    slimmable = has_subnets(methods) or (network == 'resnet50' and named)
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
def keys_of(text):
    """Keys of a classifier without its GradAug options."""
    with torch.device('meta'):
        return list(MODELS.build(ast.literal_eval(text)).state_dict())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_with_the_baselines_keys(path):
    network, data, *_ = words_of(path)
    found = []
    for name in (path, FOLDER / f'{network}_{data}.py'):
        model = read(name).model
        gradaug = GradAugOptions.parse(model.get('gradaug'))
        assert gradaug.sampler.num_subnets == (1 if 'masksub' in name.stem else 3)
        BatchMix(model.data_preprocessor.get('mix') or [])
        ClassDistillation.parse((model.get('gradaug') or {}).get('distill'))
        options = dict(type='Classifier', backbone=dict(model.backbone))
        found.append(keys_of(repr(options | dict(num_classes=model.num_classes))))
    if 'bagoftricks' not in path.stem:  # another stem
        assert found[0] == found[1]


RECIPES = {  # epochs, batch size, learning rate, weight decay, the sub-networks' image sizes
    'resnet50': (120, 512, 0.2, 1e-4, [224, 192, 160, 128]),
    'resnet152d': (120, 512, 0.2, 1e-4, []),
    'wrn28-10': (200, 128, 0.1, 5e-4, [32, 28, 24]),
    'pyramidnet200': (300, 64, 0.25, 1e-4, [32, 28, 24]),
    'resnet110': (500, 128, 0.1, 1e-4, [32, 28, 24]),
}
OF_THE_PAPER = [path for path in CONFIGS if words_of(path)[0] in RECIPES]


@pytest.mark.parametrize('path', OF_THE_PAPER, ids=lambda path: path.stem)
def test_is_trained_as_the_paper_says(path):
    """Sections 4.1 and 4.2, tables 3 to 6."""
    cfg = read(path)
    network, data, methods, variation = words_of(path)
    epochs, batch, *recipe, sizes = RECIPES[network]
    epochs = 200 if {'bagoftricks', 'released'} & {*methods, *variation} else epochs
    batch = 256 if 'batch256' in variation else batch
    optimizer, processes = cfg.optim_wrapper.optimizer, 8 if data == 'imagenet' else 1
    assert [optimizer.lr, optimizer.weight_decay] == recipe
    assert processes * cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    if data == 'imagenet':
        schedule = cfg.param_scheduler
        cosine, warm_up = (schedule[1], 5) if isinstance(schedule, list) else (schedule, 0)
        assert cosine.T_max + warm_up == epochs
    if 'gradaug' not in methods:
        return
    gradaug = cfg.model.gradaug
    if network == 'resnet110':
        assert gradaug.shrink == 'depth'
    else:
        smallest = 1.0 if 'randscale' in variation else 0.9 if data == 'imagenet' else 0.8
        assert gradaug.min_width == smallest
    steps = (gradaug.transform or {}).get('transforms', [gradaug.transform or {}])
    kinds = {step.get('type'): step for step in steps}
    words = '-'.join(variation)
    assert ('RandomRotate' in kinds) == ('rotation' in words)
    assert ('RandomScale' in kinds) == (words not in ('rotation', 'randwidth'))
    if 'RandomScale' in kinds and words not in ('released', 'randscale-flops'):
        scale = kinds['RandomScale']
        found = [sizes[0] * factor for factor in scale['scales']]
        assert found == pytest.approx(sizes)
        assert scale.get('align_corners')


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


def test_relatives_differ_from_gradaug_in_what_they_say_alone():
    base = read(FOLDER / 'wrn28-10_cifar100_gradaug.py').model.gradaug.to_dict()
    masked = dict(type='RandomMask', ratio=0.5, patch=4)
    half = dict(num_subnets=1, weights=dict(full=0.5, subnets=0.5))
    scales = base['transform'] | dict(scales=[0.875, 0.75, 0.625])
    for name, changes in {
        'sandwich': dict(min_width=0.25, transform=None), 'mutualnet': dict(min_width=0.25),
        'masksub': half | dict(min_width=1.0, transform=masked),
        'gradaug_randscale_flops': dict(min_width=1.0, transform=scales),
        'gradaug_early': dict(active=(0.0, 0.5)), 'gradaug_late': dict(active=(0.5, 1.0)),
        'gradaug_every2': dict(every=2),
    }.items():  # fmt: skip
        found = read(FOLDER / f'wrn28-10_cifar100_{name}.py').model.gradaug.to_dict()
        assert found == base | changes


@pytest.mark.parametrize('name', ['wrn28-2_cifar10', 'wrn28-2_stl10'])
def test_few_labels(name):
    """Table 10: labels drawn evenly, and the numbers of Oliver et al. 2018."""
    for path in FOLDER.glob(f'{name}*.py'):
        cfg, (_, data, methods, _) = read(path), words_of(path)
        loader, others = cfg.train_dataloader, bool({'semi', 'meanteacher'} & {*methods})
        labels, split = (100, 'train+unlabeled') if data == 'stl10' else (400, 'train')
        assert (loader.dataset.name, loader.dataset.labels_per_class) == (data.upper(), labels)
        assert loader.dataset.split == (split if others else 'train')
        assert loader.dataset.get('unlabelled', False) == others
        assert loader.batch_size + loader.get('batch_sampler', {}).get('unlabelled', 0) == 100
        assert (cfg.train_cfg.max_iters, cfg.param_scheduler.milestones) == (500_000, [400_000])
        assert cfg.optim_wrapper.optimizer.lr == (4e-4 if 'meanteacher' in methods else 3e-3)


SMALL = {  # options of a backbone of the same kind, and the side of its images
    'resnet50': (dict(base_channels=4), 64),
    'resnet152d': (dict(depth=50, base_channels=4), 64),
    'wrn28-10': (dict(depth=10, widen_factor=0.25), 16),
    'pyramidnet200': (dict(depth=20, alpha=9), 16),
    'resnet110': (dict(depth=8), 16),
    'wrn28-2': (dict(depth=10, widen_factor=0.25), 32),
    # Fewer than 8 channels, next to each other in memory, end in a crash of oneDNN's on AVX2.
    'wrn10-2': (dict(widen_factor=1), 28),
    'resnet18': (dict(base_channels=16), 64),
}
WITHOUT_VARIATION = [path for path in CONFIGS if not words_of(path)[3]]


@pytest.mark.parametrize('path', WITHOUT_VARIATION, ids=lambda path: path.stem)
def test_a_small_one_makes_a_training_step(path):
    network, _, methods, _ = words_of(path)
    options, size = SMALL[network]
    cfg = copy.deepcopy(read(path))
    cfg.model.num_classes = 3
    cfg.model.backbone.update(options)
    if 'teacher' in cfg.model:
        cfg.model.teacher.network.num_classes = 3
        cfg.model.teacher.network.backbone.update(SMALL['resnet152d'][0])
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    if model.teacher:
        model.teacher.trained = model.teacher.network  # with random weights, which do here
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {p.ndim > 1: group['weight_decay'] for group in wrapper.optimizer.param_groups
              for p in group['params']}  # fmt: skip
    decay = cfg.optim_wrapper.optimizer.weight_decay
    assert decays == {True: decay, False: 0 if isinstance(cfg.param_scheduler, list) else decay}
    before, data = model.fc.weight.clone(), tiny.batch(size=size)
    if 'semi' in methods:
        data['data_samples'][2:] = -1
    if 'meanteacher' in methods:
        model.mean_teacher = (copy.deepcopy(model),)
        data['inputs'] = torch.stack([data['inputs']] * 2, dim=1)
    log = model.train_step(data, wrapper)
    assert ('loss_consistency' in log) == ('meanteacher' in methods)
    assert sum(key.endswith('/loss_unlabelled') for key in log) == 3 * ('semi' in methods)
    assert torch.isfinite(torch.as_tensor(log['loss']))
    assert ('loss_teacher' in log) == ('bagoftricks' in methods)
    assert sum(key.endswith('/loss_cls_soft') for key in log) == (
        1 if 'masksub' in methods else 3 * has_subnets(methods)
    )
    assert not torch.equal(before, model.fc.weight)
