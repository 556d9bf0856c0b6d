"""The page holds what the log holds, and needs nothing but itself."""

import base64
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mmgradaug.engine.run_log import Scalars
from mmgradaug.reporting import charts
from mmgradaug.reporting.page import write_report
from mmgradaug.reporting.run import read_run, read_runs
from mmgradaug.reporting.tables import overview
from mmgradaug.visualization.curves import Line
from tests.reporting.work_dirs import CONFIG, ITERATIONS, train_entry, write_run, write_start
from tools.report import main

START = '20261122_050000'
STEPS = np.arange(1, ITERATIONS + 1)


class Page:
    """What a browser would find: rows of tables, pictures by title, addresses, names, text."""

    def __init__(self, path):
        self.html = path.read_text(encoding='utf-8')
        # As XML, in which every element is closed; HTML closes all but these two.
        xml = re.sub(r'<((?:meta|img) [^>]*)>', r'<\1/>', self.html.partition('\n')[2])
        tree = ElementTree.fromstring(xml)
        self.rows = [[''.join(cell.itertext()).strip() for cell in row] for row in tree.iter('tr')]
        self.pictures = {image.get('alt'): image.get('src') for image in tree.iter('img')}
        attributes = [element.attrib for element in tree.iter()]
        self.addresses = [found[k] for found in attributes for k in ('src', 'href') if k in found]
        self.names = {found['id'] for found in attributes if 'id' in found}
        self.text = ''.join(tree.itertext())

    def row(self, name):
        return next(row[1:] for row in self.rows if row[0] == name)


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
    for index, options in enumerate(told):
        write_start(tmp_path / str(index), START, [], config=f'model = dict({options})')
    assert ['sub-networks', *told.values()] in overview(read_runs(sorted(tmp_path.iterdir())))


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
    assert not any('bbox_mAP_l' in row for row in alone.rows), 'it was not measured'


def test_runs_side_by_side(beside, folders):
    assert beside.row('box AP') == ['0.580', '0.330']
    options = ('option', 'model.', 'train_', 'work_')
    assert {row[0]: row[1:] for row in beside.rows if row[0].startswith(options)} == {
        'option': ['gradaug', 'plain'],
        'model.backbone.type': ["'SlimmableResNet'", "'ResNet'"],
        'model.detector': ["'MaskRCNN'", 'not set'],
        'model.gradaug.min_width': ['0.8', 'not set'],
        'model.gradaug.num_subnets': ['2', 'not set'],
        'model.type': ["'GradAugDetector'", "'MaskRCNN'"],
        'train_pipeline.1.prob': ['0.5', '0.0'],
    }
    both = lines_of(charts.comparison_panels(read_runs(folders)))
    losses = both["full network's loss"]
    assert losses == {'gradaug': (4 / STEPS).tolist(), 'plain': (12 / STEPS).tolist()}
    assert both['coco/segm_mAP'].keys() == {'gradaug', 'plain'}
    assert {'all runs', 'gradaug: Losses', 'plain: Losses'} < beside.pictures.keys()
    assert 'plain: Agreement with the full network' not in beside.pictures


def test_the_page_needs_nothing_else(alone, beside):
    for page in (alone, beside):
        assert all(a.startswith(('#', 'data:image/')) for a in page.addresses)
        assert not re.findall(r'https?://|url\(|@import|<script|<link', page.html)
        assert {a[1:] for a in page.addresses if a.startswith('#')} <= page.names


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


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: .*expected the work dir of a training'):
        main([str(tmp_path)])
    write_start(tmp_path, START, [{'loss': 1.0, 'step': 1}])
    main([str(tmp_path), '--out', str(tmp_path)])
