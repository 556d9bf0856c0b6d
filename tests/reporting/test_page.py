"""The page holds what the log holds, and needs nothing but itself."""

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mmgradaug.reporting import read_runs, write_report
from mmgradaug.reporting.differences import MISSING, config_differences, shown
from mmgradaug.reporting.log_keys import thinned
from mmgradaug.reporting.tables import overview
from tests.reporting.work_dirs import CONFIG, ITERATIONS, train_entry, write_run, write_start
from tools.report import main

START = '20261122_050000'
VOID = ('meta', 'img', 'br')


class Page(HTMLParser):
    """What a browser would find: charts by name, tables by heading, addresses, identifiers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
        self.words: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ''
        self._open: list[str] = []
        self._chart = self._gid = ''
        self.feed(path.read_text(encoding='utf-8'))
        self.close()
        assert self._open == [], 'every element is closed'

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self._open.append(tag)
        self.addresses += [values[k] for k in ('src', 'href', 'xlink:href') if k in values]
        self.ids += [values['id']] if 'id' in values else []
        if 'data-chart' in values:
            self._chart = values['data-chart']
            self.charts[self._chart], self.words[self._chart] = {}, []
        if tag == 'g' and '-line-' in values.get('id', ''):
            self._gid = values['id'].split('-line-')[1]
        if tag == 'path' and self._gid:
            numbers = re.findall(r'-?[\d.]+', values.get('d', ''))
            points = list(zip(map(float, numbers[::2]), map(float, numbers[1::2]), strict=True))
            self.charts[self._chart][self._gid] = points
            self._gid = ''
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if 'svg' in self._open:
            self.words[self._chart].append(data.strip())
        elif self._open and {'td', 'th'} & set(self._open):
            self.rows[-1][-1] += data

    def row(self, name):
        return next(row[1:] for row in self.rows if row and row[0] == name)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """A GradAug run and a plain one."""
    folder = tmp_path_factory.mktemp('runs')
    return [
        write_run(folder / 'gradaug', value=0.5),
        write_run(folder / 'plain', gradaug=False, value=0.25),
    ]


@pytest.fixture(scope='module')
def alone(folders):
    path = folders[0] / 'report.html'
    write_report(read_runs(folders[:1]), path)
    return Page(path)


@pytest.fixture(scope='module')
def beside(folders):
    path = folders[0].parent / 'report.html'
    write_report(read_runs(folders), path)
    return Page(path)


def assert_drawn(points, steps, values):
    """A curve is the values up to the scale and place of its axes, up to a hundredth of a point."""
    for drawn, told in ((0, steps), (1, values)):
        pixels = [point[drawn] for point in points]
        slope, start = np.polyfit(told, pixels, 1)
        assert np.allclose(slope * np.asarray(told) + start, pixels, atol=0.01)
        assert (slope > 0) == (drawn == 0)  # y goes down in a picture


def test_every_loss_is_drawn_for_every_pass(alone):
    steps = np.arange(1, ITERATIONS + 1)
    assert 'gradaug: loss by pass' in alone.charts
    assert list(alone.charts['gradaug: loss_cls']) == ['full network']
    assert_drawn(alone.charts['gradaug: loss_cls']['full network'], steps, 2 / steps)
    soft = alone.charts['gradaug: loss_cls_soft']
    assert list(soft) == ['sub-network 1', 'sub-network 2']
    assert_drawn(soft['sub-network 2'], steps, 2 + 1 / steps)
    assert list(alone.charts['gradaug: agree_mask']) == ['sub-network 1', 'sub-network 2']
    assert_drawn(alone.charts['gradaug: seconds of a pass']['sub-network 1'], steps, 0.5 + steps)


def test_widths_scales_and_depths_are_counted(alone):
    assert {'gradaug: widths drawn', 'gradaug: how often each width'} < set(alone.charts)
    widths = alone.charts['gradaug: widths drawn']
    assert set(widths) == {'sub-network 1', 'sub-network 2'}
    words = alone.words['gradaug: how often each scale']
    assert {'0.6', '0.8', '4×', '12×'} < set(words)  # of two sub-networks in 8 iterations
    assert {'0.5', '1', '4×', '12×'} < set(alone.words['gradaug: how often each depth'])


@pytest.mark.parametrize(('options', 'told'), [
    ("type='GradAugClassifier', gradaug=dict(num_subnets=3)", 'num_subnets 3'),
    ("type='GradAugClassifier'", 'default options'),
    ("type='Classifier'", 'none'),
])  # fmt: skip
def test_sub_networks_of_classifiers_are_told(tmp_path, options, told):
    write_start(tmp_path, START, [], config=f'model = dict({options})')
    assert ['sub-networks', told] in overview(read_runs([tmp_path])).rows


def test_the_overview_tells_what_was_measured(tmp_path, alone):
    assert (alone.row('box AP'), alone.row('mask AP')) == (['0.580'], ['0.680'])
    entries = [{'accuracy/top1': 75.0, 'accuracy/top5': 90.0, 'time': 0.1, 'step': 1}]
    write_start(tmp_path, START, [train_entry(1), *entries], config=None)
    rows = dict(overview(read_runs([tmp_path])).rows)
    assert (rows['accuracy/top1'], rows['accuracy/top5']) == ('75.000', '90.000')
    assert 'box AP' not in rows


def test_numbers_of_the_tables(alone):
    assert alone.row('coco/bbox_mAP') == ['0.580', '0.580 (epoch 2)']
    assert alone.row('sub-network 2') == ['5', '3.25 to 6.75']
    assert alone.row('whole iteration') == ['3', '3 to 3']
    assert alone.row('model') == ['MaskRCNN with GradAug']
    assert alone.row('sub-networks') == ['min_width 0.8, num_subnets 2']
    assert alone.row('progress') == ['finished: 2 epochs']
    assert alone.row('mmgradaug') == ['9.8.7']
    assert alone.row('PyTorch') == ['2.10.0+cpu']
    assert alone.row('seed') == ['1']
    assert CONFIG in alone.text
    assert not any('bbox_mAP_l' in row for row in alone.rows if row), 'it was not measured'


def test_runs_side_by_side(beside):
    assert beside.row('coco/bbox_mAP') == ['0.580', '0.330 (-0.250)']
    options = {row[0]: row[1:] for row in beside.rows if row and row[0].startswith('model.')}
    assert options['model.type'] == ["'GradAugDetector'", "'MaskRCNN'"]
    assert options['model.gradaug'] == ["{'min_width': 0.8, 'num_subnets': 2}", 'not set']
    assert beside.row('train_pipeline.1.prob') == ['0.5', '0.0']
    assert not any(row and row[0] in ('work_dir', 'model.backbone.depth') for row in beside.rows)
    steps = np.arange(1, ITERATIONS + 1)
    both = beside.charts["full network's loss"]
    assert_drawn(both['gradaug'], steps, 4 / steps)
    assert_drawn(both['plain'], steps, 12 / steps)
    assert beside.charts['coco/segm_mAP'].keys() == {'gradaug', 'plain'}
    assert 'plain: loss_cls' in beside.charts
    assert 'plain: loss_cls_soft' not in beside.charts


@pytest.mark.parametrize('page', ['alone', 'beside'])
def test_the_page_needs_nothing_else(page, request, folders):
    found = request.getfixturevalue(page)
    assert found.addresses
    assert all(a.startswith(('#', 'data:image/')) for a in found.addresses)
    assert len(set(found.ids)) == len(found.ids)
    inside = {a[1:] for a in found.addresses if a.startswith('#')}
    assert inside <= set(found.ids)
    path = folders[0] if page == 'alone' else folders[0].parent
    text = (path / 'report.html').read_text()
    links = set(re.findall(r'https?://[^"\s]+', text))
    assert links == {'http://www.w3.org/1999/xlink'}, 'a name space, not fetched'
    assert not re.findall(r'url\((?!#)|@import|<script|<link', text)
    assert '#000000' not in text, 'black text would vanish on dark ground'


def test_pictures_are_inside(alone, folders):
    picture = base64.b64encode((folders[0] / 'predictions.png').read_bytes()).decode()
    assert f'data:image/png;base64,{picture}' in alone.addresses


def test_names_and_values_are_text_whatever_they_hold(tmp_path):
    """And values that no axis holds are no reason to fail."""
    folder = tmp_path / '<b>&amp;"$x_1$'
    values = {'loss_<script>': 1.0, 'loss_nan': math.nan, 'loss_inf': math.inf, 'loss_low': -1e300}
    write_start(folder, START, [{'loss': 1.0, 'step': step, **values} for step in (1, 2)])
    (folder / 'broken.png').write_text('not a picture')
    (tmp_path / 'other').mkdir()
    write_start(tmp_path / 'other', START, [{'loss': 0.0, 'step': 3}])
    write_report(read_runs([folder, tmp_path / 'other']), tmp_path / 'report.html')
    page = Page(tmp_path / 'report.html')
    assert {f'<b>&amp;"$x_1$: {name}' for name in values} < set(page.charts)
    assert '<b>&amp;"$x_1$' in page.words["full network's loss"]
    assert 'broken.png cannot be read as a picture' in page.text


def test_long_logs_are_averaged():
    entries = [{'step': float(i), 'loss': float(i % 2)} for i in range(1000)]
    entries[3]['rare'] = 5.0
    short = thinned(entries, 250)
    assert len(short) == 250
    assert short[0] == {'step': 1.5, 'loss': 0.5, 'rare': 5.0}
    assert thinned(entries[:7], 3)[-1] == entries[6]


def test_config_differences():
    one = dict(a=1, b=dict(c=[dict(d=1), dict(e=2)]), only=dict(x=1), same=[1, 2])
    other = dict(a=2, b=dict(c=[dict(d=1), dict(e=3)]), same=[1, 2])
    assert config_differences([one, other]) == {
        'a': [1, 2],
        'b.c.1.e': [2, 3],
        'only': [{'x': 1}, MISSING],
    }
    shorter = dict(one, b=dict(c=[dict(d=1)]), _scope_='mmdet')
    assert list(config_differences([one, shorter])) == ['b.c']


def test_long_options_are_lines_of_dotted_keys():
    assert shown(MISSING) == 'not set'
    assert shown(dict(max_norm=35, norm_type=2)) == "{'max_norm': 35, 'norm_type': 2}"
    loss = dict(loss_weight=1.0, type='CrossEntropyLoss', empty={}, weights=[1, 2])
    head = dict(heads=[dict(loss=loss), dict(loss=None)], type='StandardRoIHead')
    assert shown(head).splitlines() == [
        "type = 'StandardRoIHead'",
        "heads.0.loss.type = 'CrossEntropyLoss'",
        'heads.0.loss.loss_weight = 1.0',
        'heads.0.loss.empty = {}',
        'heads.0.loss.weights = [1, 2]',
        'heads.1.loss = None',
    ]


def test_a_classifier_beside_a_detector(tmp_path, folders):
    """Both show what they measured, and what only one config has is folded away."""
    entries = [{'accuracy/top1': 75.0, 'time': 0.1, 'step': 1}]
    write_start(tmp_path / 'c', START, [train_entry(1, gradaug=False), *entries], config=None)
    detector = write_run(tmp_path / 'd')
    head = ', '.join(f"'part{i}': {{'type': 'Head'}}" for i in range(60))
    dumped = detector / '20261122_050000/vis_data/config.py'
    dumped.write_text(f'{dumped.read_text()}roi_head = {{{head}}}\n')
    runs = read_runs([tmp_path / 'c', detector])
    write_report(runs, tmp_path / 'report.html')
    page = Page(tmp_path / 'report.html')
    rows = {row[0]: row[1:] for row in overview(runs).rows}
    assert rows['accuracy/top1'] == ['75.000', '–'] and rows['box AP'] == ['–', '0.580']
    assert {'accuracy/top1', 'coco/bbox_mAP'} <= set(page.charts)
    text = (tmp_path / 'report.html').read_text()
    assert '<summary><code>part0.type = &#39;Head&#39;</code> ... and 59 more</summary>' in text
    assert text.count('not in the log of this run') == 2, 'of agreement, and of widths and scales'
    assert re.search(r'</table></div>\s*</section>\s*<section id="differences">', text), (
        'the overview has no names of runs without anything below'
    )


def test_the_tool(capsys, tmp_path):
    """A short run, with few charts; its checkpoint is gone."""
    folders = [tmp_path / 'one', tmp_path / 'two']
    for folder in folders:
        write_start(folder, START, [{'loss': 1.0, 'step': 1}])
    assert main(list(map(str, folders))) == 0
    assert str(tmp_path / 'report.html') in capsys.readouterr().out
    assert 'one: loss' in Page(tmp_path / 'report.html').charts
    out = tmp_path / 'page.html'
    with pytest.raises(SystemExit, match=r'^error: --out \S+/one: it is a folder, expected a file'):
        main([str(folders[0]), '--out', str(folders[0])])
    assert main([str(folders[0]), '--predict', '2', '--out', str(out)]) == 1
    failure = 'last_checkpoint: expected it to name a checkpoint, for --predict'
    assert failure in capsys.readouterr().err
    assert failure in Page(out).text


def test_predictions_of_a_classifier_are_refused(capsys, tmp_path):
    write_start(tmp_path, START, [], config="model = dict(type='Classifier')")
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    assert main([str(tmp_path), '--predict', '1']) == 1
    assert 'is of a classifier, expected a detector for --predict' in capsys.readouterr().err


def file(folder):
    path = folder / 'file'
    path.write_text('')
    return path


def damaged(folder):
    write_start(folder, START, []).write_bytes(bytes(range(256)))
    return folder


def parent_of_runs(folder):
    write_run(folder / 'one')
    return folder


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda folder: folder, 'expected the work dir of a training'),
        (lambda folder: folder / 'none', 'no folder .*none'),
        (file, 'is a file'),
        (damaged, 'expected a JSON object with a step in each line'),
        (parent_of_runs, 'did you mean .*one'),
    ],
)
def test_foreign_folders_are_one_line(tmp_path, make, message):
    with pytest.raises(SystemExit, match=f'^error: .*{message}') as error:
        main([str(make(tmp_path))])
    assert '\n' not in str(error.value)


def test_the_same_folder_twice(folders):
    with pytest.raises(SystemExit, match='is given twice'):
        main([str(folders[0]), str(folders[0] / '..' / folders[0].name)])
    names = [run.name for run in read_runs(folders)]
    assert names == ['gradaug', 'plain']


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [write_run(tmp_path / kind / 'run') for kind in ('a', 'b')]
    assert [run.name for run in read_runs(paths)] == ['a/run', 'b/run']
