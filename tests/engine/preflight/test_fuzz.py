"""Whatever a file or an option holds: it passes, or there is a message of ours; never a crash."""

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.preflight.annotations import check_annotations
from mmgradaug.engine.preflight.classes import check_class_names
from mmgradaug.engine.preflight.datasets import CocoUse, coco_uses
from mmgradaug.training import GradAugOptions
from tests.messages import one_line

QUICK = settings(
    max_examples=50,
    deadline=2000,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 99), st.integers(), st.floats(), st.text(max_size=4)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
ENTRY = dict(
    images=dict(id=1, file_name='a.png', height=64, width=64),
    annotations=dict(
        id=1,
        image_id=1,
        category_id=1,
        bbox=[1, 1, 9, 9],
        area=81,
        iscrowd=0,
        segmentation=[[1, 1, 9, 9, 1, 9]],
    ),
    categories=dict(id=1, name='circle'),
)


def speaks(function):
    """Whether a call passes; where it does not, it has to be with one line of ours."""
    try:
        with one_line_errors():
            function()
    except SystemExit as stopped:
        one_line(stopped)
        return False
    return True


def check_file(path, content, folder=None):
    path.write_text(content)
    common = dict(path=path, classes=('circle',), masks=True)
    uses = [
        CocoUse('train_dataloader.dataset', folder=folder, training=True, **common),
        CocoUse('val_evaluator', evaluator=True, **common),
    ]
    return speaks(lambda: check_annotations(uses))


def test_the_example_is_fine(tmp_path):
    content = {name: [entry] for name, entry in ENTRY.items()}
    assert check_file(tmp_path / 'a.json', json.dumps(content))
    assert not check_file(tmp_path / 'a.json', json.dumps(content), tmp_path)  # no image
    (tmp_path / 'a.png').touch()
    assert check_file(tmp_path / 'a.json', json.dumps(content), tmp_path)


@QUICK
@given(value=ANYTHING)
def test_any_json(tmp_path, value):
    assert not check_file(tmp_path / 'a.json', json.dumps(value))


@QUICK
@given(text=st.text() | st.binary().map(lambda b: b.decode('latin-1')))
def test_any_text(tmp_path, text):
    check_file(tmp_path / 'a.json', text.encode('utf-8', 'replace').decode('utf-8'))


@QUICK
@given(data=st.data())
def test_any_value_of_any_field(tmp_path, data):
    content = {name: [copy.deepcopy(entry)] for name, entry in ENTRY.items()}
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from(sorted(content)))
        if not isinstance(content[name], list):
            continue
        entry = data.draw(st.sampled_from(['whole', 'list', *ENTRY[name]]))
        if entry == 'list':
            content[name] = data.draw(ANYTHING)
        elif entry == 'whole':
            content[name] = [data.draw(ANYTHING), *content[name]]
        elif content[name] and isinstance(content[name][-1], dict):
            content[name][-1][entry] = data.draw(ANYTHING)
    check_file(tmp_path / 'a.json', json.dumps(content), tmp_path)


@QUICK
@given(data=st.data())
def test_any_value_of_any_option_of_a_data_set(cfg, data):
    keys = ['ann_file', 'data_prefix', 'data_root', 'metainfo', 'filter_cfg', 'test_mode', 'type']
    changed = dict(cfg.train_dataloader.dataset)
    value = data.draw(SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(), SCALARS))
    key = data.draw(st.sampled_from(keys))
    if data.draw(st.booleans()) and key == 'metainfo':
        value = dict(classes=value)
    changed[key] = value
    changed = Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=changed)))
    speaks(lambda: check_class_names(coco_uses(changed, ('train',))))


@QUICK
@given(data=st.data())
def test_any_value_of_any_option_of_gradaug(data):
    names = ['num_subnets', 'min_width', 'force_min_width', 'width_step', 'transform', 'seed']
    names += ['recompute_above', 'scales']
    options = {data.draw(st.sampled_from(names)): data.draw(ANYTHING) for _ in range(2)}
    if 'scales' in options:
        options['transform'] = dict(type='RandomScale', scales=options.pop('scales'))
    speaks(lambda: GradAugOptions.parse(options))
