"""Which hooks tools/train.py adds to a config."""

from mmengine.config import Config, DictAction
from mmengine.hooks import CheckpointHook

from mmgradaug.engine.loading import load_config
from mmgradaug.engine.run_hooks import hook_options, hook_options_of_testing


def merged(cfg, options_of=hook_options):
    """A config with the options merged as mmdet's tool does."""
    words = options_of(cfg)[1:]
    options = {}
    for key, value in (word.split('=', 1) for word in words):
        options[key] = DictAction._parse_iterable(value)
    cfg.merge_from_dict(options)
    return cfg


def types(cfg):
    return {k: v['type'] for k, v in cfg.default_hooks.items() if v}


def test_options_of_the_user_stay():
    cfg = merged(load_config('configs/mask_rcnn_r18_gradaug_shapes.py', None))
    hook = cfg.default_hooks.checkpoint
    assert (hook.type, hook.interval, hook.max_keep_ckpts) == ('SafeCheckpointHook', 5, 1)
    assert types(cfg)['sampler_seed'] == 'ReproducibleHook'
    assert types(cfg)['bad_images'] == 'BadImagesHook'
    assert types(cfg)['timer'] == 'IterTimerHook'
    assert cfg.custom_imports['imports'] == ['mmgradaug']


def test_hooks_with_a_scope_are_known():
    hooks = dict(checkpoint=dict(type='mmengine.CheckpointHook', interval=7))
    cfg = merged(Config(dict(default_hooks=hooks)))
    assert cfg.default_hooks.checkpoint == dict(type='SafeCheckpointHook', interval=7)


def test_hooks_of_the_user_stay():
    hooks = dict(checkpoint=dict(type='MyCheckpointHook'), sampler_seed=None)
    cfg = merged(Config(dict(default_hooks=hooks)))
    assert cfg.default_hooks.checkpoint.type == 'MyCheckpointHook'
    assert cfg.default_hooks.sampler_seed is None


def test_a_config_without_hooks_gets_mmengines_options():
    cfg = merged(Config(dict(custom_imports=dict(imports='mine', allow_failed_imports=False))))
    assert cfg.default_hooks.checkpoint == dict(type='SafeCheckpointHook', interval=1)
    assert cfg.custom_imports == dict(imports=['mine', 'mmgradaug'], allow_failed_imports=False)


def test_what_the_config_says_is_none_is_taken_out_or_replaced():
    cfg = merged(Config(dict(custom_imports=None, default_hooks=None)))
    assert cfg.custom_imports['imports'] == 'mmgradaug'
    assert types(cfg)['checkpoint'] == 'SafeCheckpointHook'
    cfg = merged(Config(dict(default_hooks=dict(bad_images=None, checkpoint=None))))
    assert cfg.default_hooks.bad_images is None
    assert cfg.default_hooks.checkpoint is None


def test_testing_needs_one_hook():
    cfg = merged(Config(dict(default_hooks=dict(checkpoint=None))), hook_options_of_testing)
    assert types(cfg) == dict(bad_images='BadImagesHook')
    assert hook_options_of_testing(Config(dict(default_hooks=dict(bad_images=None)))) == []


def test_lazy_configs_name_classes():
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type=CheckpointHook, interval=3))))
    assert hook_options(cfg).count('default_hooks.checkpoint.type=SafeCheckpointHook') == 1


def test_what_is_configured_for_bad_images_stays():
    cfg = Config(dict(default_hooks=dict(bad_images=dict(max_bad_images=5))))
    assert merged(cfg).default_hooks.bad_images == dict(type='BadImagesHook', max_bad_images=5)
