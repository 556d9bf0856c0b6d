"""The page holds what the log holds, and needs nothing but itself."""

import base64
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mmgradaug.engine.run_log import Scalars
from mmgradaug.reporting import charts
from mmgradaug.reporting.page import write_report
from mmgradaug.reporting.run import read_run, read_runs
from mmgradaug.reporting.tables import config_table, overview
from mmgradaug.visualization.curves import Line
from tests.reporting.work_dirs import CONFIG, ITERATIONS, train_entry, write_run, write_start
from tools.report import main

START = '20261122_050000'
STEPS = np.arange(1, ITERATIONS + 1)
VOID = ('meta', 'img')


class Page(HTMLParser):
    """What a browser would find: rows of tables, pictures by title, addresses, text."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.pictures, self.addresses, self.text = [], {}, [], ''
        self._open = []
        self.feed(path.read_text(encoding='utf-8'))
        self.close()
        assert self._open == [], 'every element is closed'

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self._open.append(tag)
        self.addresses += [values[k] for k in ('src', 'href') if k in values]
        if tag == 'img':
            self.pictures[values['alt']] = values['src']
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {'td', 'th'} & set(self._open):
            self.rows[-1][-1] += data

    def row(self, name):
        return next([cell.strip() for cell in row[1:]] for row in self.rows if row[0] == name)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """A GradAug run and a plain one."""
    folder = tmp_path_factory.mktemp('runs')
    plain = write_run(folder / 'plain', gradaug=False, value=0.25)
    return [write_run(folder / 'gradaug', value=0.5), plain]


@pytest.fixture(scope='module')
def alone(folders):
    path = folders[0] / 'report.html'
    write_report(read_runs(folders[:1]), path)
    return Page(path)


@pytest.fixture(scope='module')
def beside(folders):
    main(list(map(str, folders)))
    return Page(folders[0].parent / 'report.html')


def lines_of(panels):
    return {p.title: {line.label: list(line.values) for line in p.lines} for p in panels}


def test_every_loss_has_a_line_for_every_pass(folders):
    panels = charts.section_panels(read_run(folders[0]))
    validation, losses, agreement, drawn, times = map(lines_of, panels.values())
    boxes, masks = pytest.approx([0.54, 0.58]), pytest.approx([0.64, 0.68])
    precision = {'box AP, last 0.580': boxes, 'mask AP, last 0.680': masks}
    assert validation['average precision'] == precision
    assert list(losses) == ['loss by pass', 'loss_cls'], 'soft and hard are one term'
    by_pass = {'sum of all passes': 12, 'full network': 4, 'sub-network 1': 4, 'sub-network 2': 4}
    assert losses['loss by pass'] == {k: (value / STEPS).tolist() for k, value in by_pass.items()}
    plain = lines_of(charts.section_panels(read_run(folders[1]))['Losses'])
    assert plain['loss by pass'] == {'full network': (12 / STEPS).tolist()}
    assert losses['loss_cls'] == {
        'full network': (2 / STEPS).tolist(),
        'sub-network 1, soft': (1 + 1 / STEPS).tolist(),
        'sub-network 2, soft': (2 + 1 / STEPS).tolist(),
    }
    assert [line.dashed for line in panels['Losses'][1].lines] == [False, True, True]
    assert set(agreement) == {'agree_mask'}
    assert times['time'] == {'full network': [3.0] * ITERATIONS}
    assert list(times['seconds']) == ['full network', 'sub-network 1', 'sub-network 2']
    assert list(drawn) == ['width'], 'nothing was turned'
    assert drawn['width']['sub-network 1'] == [0.8] * ITERATIONS


def test_a_pass_keeps_its_colour_and_the_first_panel_explains_them():
    entries = [{'loss': 3.0, 'subnet1/loss': 1.0, 'subnet10/loss': 2.0, 'step': 1}]
    panels = charts.logged_panels(Scalars.of(entries), lambda name: True)[:1]
    colours = [line.colour for line in panels[0].lines]
    assert len(set(colours)) == 3
    other = charts.Panel('b', [Line('another', [1], [1.0], colours[1])])
    first, second = charts.panels_figure([*panels, other]).axes
    assert first.get_legend() and not second.get_legend()
    assert second.lines[0].get_color() == colours[1]


def test_sub_networks_are_told(tmp_path):
    gradaug = "type='GradAugClassifier'"
    told = {
        f'{gradaug}, gradaug=dict(num_subnets=3)': 'num_subnets 3',
        gradaug: 'default options',
        "type='Classifier'": 'none',
        f'{gradaug}, gradaug=dict(num_subnets=0, min_width=0.9)': 'none',
        "type='SoftTeacher', detector=dict(type='FasterRCNN')": 'none',
    }
    folders = [tmp_path / str(index) for index in range(len(told))]
    for folder, options in zip(folders, told, strict=True):
        write_start(folder, START, [], config=f'model = dict({options})')
    assert ['sub-networks', *told.values()] in overview(read_runs(folders))


def test_a_classifier_shows_what_it_measured(tmp_path):
    entries = [{'accuracy/top1': 75.0, 'accuracy/top5': 90.0, 'time': 0.1, 'step': 1}]
    write_start(tmp_path, START, [train_entry(1), *entries], config=None)
    (run,) = read_runs([tmp_path])
    rows = dict(overview([run]))
    assert (rows['accuracy/top1'], rows['accuracy/top5']) == ('75.000', '90.000')
    assert 'box AP' not in rows
    lines = lines_of(charts.section_panels(run)['Validation'])
    assert lines['accuracy/top1'] == {tmp_path.name: [75.0]}


def test_numbers_of_the_tables(alone):
    assert alone.row('coco/bbox_mAP') == ['0.580, highest 0.580 (epoch 2)']
    assert (alone.row('box AP'), alone.row('mask AP')) == (['0.580'], ['0.680'])
    assert alone.row('seconds per iteration') == ['3']
    assert alone.row('model') == ['MaskRCNN with GradAug']
    assert alone.row('sub-networks') == ['min_width 0.8, num_subnets 2']
    assert alone.row('progress') == ['finished: epoch 2 of 2']
    assert alone.row('versions') == ['mmgradaug 0.1.0, mmdet 3.5.1']
    assert CONFIG in alone.text
    assert not any('bbox_mAP_l' in row for row in alone.rows if row), 'it was not measured'


def test_runs_side_by_side(beside, folders):
    assert beside.row('box AP') == ['0.580', '0.330']
    options = {row[0]: row[1:] for row in beside.rows if row and row[0].startswith('model.')}
    assert [cell.strip() for cell in options['model.type']] == ["'GradAugDetector'", "'MaskRCNN'"]
    assert options['model.gradaug.num_subnets'] == ['2', 'not set']
    assert beside.row('train_pipeline.1.prob') == ['0.5', '0.0']
    assert not any(row and row[0] in ('work_dir', 'model.backbone.depth') for row in beside.rows)
    both = lines_of(charts.comparison_panels(read_runs(folders)))
    losses = both["full network's loss"]
    assert losses == {'gradaug': (4 / STEPS).tolist(), 'plain': (12 / STEPS).tolist()}
    assert both['coco/segm_mAP'].keys() == {'gradaug', 'plain'}
    assert {'all runs', 'gradaug: Losses', 'plain: Losses'} < beside.pictures.keys()
    assert 'plain: Agreement with the full network' not in beside.pictures


@pytest.mark.parametrize('page', ['alone', 'beside'])
def test_the_page_needs_nothing_else(page, request, folders):
    found = request.getfixturevalue(page)
    assert all(a.startswith(('#', 'data:image/')) for a in found.addresses)
    path = folders[0] if page == 'alone' else folders[0].parent
    text = (path / 'report.html').read_text()
    assert not re.findall(r'https?://|url\(|@import|<script|<link', text)
    inside = {a[1:] for a in found.addresses if a.startswith('#')}
    assert inside <= set(re.findall(r'id="([^"]+)"', text))


def test_pictures_are_inside(alone, folders, tmp_path):
    picture = base64.b64encode((folders[0] / 'predictions.png').read_bytes()).decode()
    assert alone.pictures['predictions.png'] == f'data:image/png;base64,{picture}'
    write_start(tmp_path, START, [])
    noise = np.random.default_rng(0).integers(0, 256, (300, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'large.png')
    write_report(read_runs([tmp_path]), tmp_path / 'report.html')
    assert Page(tmp_path / 'report.html').pictures['large.png'].startswith('data:image/jpeg')
    assert (tmp_path / 'report.html').stat().st_size < noise.size


def test_names_and_values_are_text_whatever_they_hold(tmp_path):
    """And values that no axis holds are no reason to fail."""
    folder = tmp_path / '<b>&amp;"$x_1$'
    values = {'loss_<script>': 1.0, 'loss_nan': math.nan, 'loss_inf': math.inf, 'loss_$': -1e300}
    write_start(folder, START, [{'loss': 1.0, 'step': step, **values} for step in (1, 2)])
    write_start(tmp_path / 'other', START, [{'loss': 0.0, 'step': 3}])
    write_report(read_runs([folder, tmp_path / 'other']), tmp_path / 'report.html')
    assert '<b>&amp;"$x_1$: Losses' in Page(tmp_path / 'report.html').pictures


def test_options_that_differ(tmp_path):
    text = "b = dict(c=[dict(d=1), dict(e=2)], f=[1, 2], _scope_='x')"
    write_start(tmp_path / 'a', START, [], 'a = 1\n' + text.replace(", _scope_='x'", ''))
    write_start(tmp_path / 'b', START, [], text.replace('e=2', 'e=3'))
    assert config_table(read_runs([tmp_path / 'a', tmp_path / 'b'])) == [
        ['option', 'a', 'b'],
        ['a', '1', 'not set'],
        ['b.c.1.e', '2', '3'],
    ]


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: .*expected the work dir of a training'):
        main([str(tmp_path)])
    write_start(tmp_path, START, [{'loss': 1.0, 'step': 1}])
    main([str(tmp_path), '--out', str(tmp_path)])
