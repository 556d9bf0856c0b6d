"""The study: costs, paired intervals, tables of what is recorded, and a miniature of it."""

import gzip
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from mmgradaug.reproduction.rows import Row, read_records, read_rows
from mmgradaug.reproduction.study import (
    cost_of,
    interval,
    read_settings,
    table,
    variant,
    write_study,
)
from tests.classification.test_data import write_idx

ROOT = Path(__file__).parents[2]
PLAIN = 'configs/classification/wrn10-2_fashion.py'
GRADAUG = 'configs/classification/wrn10-2_fashion_gradaug.py'
CONFIGS = {'plain': PLAIN, 'gradaug': GRADAUG}
SCALE = 'gradaug.transform.scales=[0.5]'
STEPS = {
    GRADAUG: {
        'GradAug': {'ratio': {'time': 3.0}},
        f'GradAug, {SCALE}': {'ratio': {'time': 1.5}},
    }
}


def test_an_interval_is_that_of_a_paired_t_test():
    ours, plain = np.random.default_rng(0).normal(size=(2, 7))
    mean, half = interval(list(ours - plain))
    low, high = ttest_rel(ours, plain).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_cost_counts_length_and_iterations_without_subnetworks():
    for options, cost in {
        '': 3.0,
        f'model.{SCALE} lr=1': 1.5,
        'model.gradaug.every=2': 2.0,
        'model.gradaug.active=(0.25,0.5) train_cfg.max_iters=800': 3.0,
    }.items():
        assert cost_of(Row('x', GRADAUG, options), STEPS) == cost
    plain = Row('x', PLAIN, 'train_cfg.max_iters=600')
    assert cost_of(plain, {}) == 1.5
    assert variant(Row('x', GRADAUG, f'lr=1 model.{SCALE} model.gradaug.every=2')) == SCALE


def runs_and_records(values):
    """Return stand-ins of runs, and a record of each, from values by row and seed."""
    runs, records = [], []
    for name, finals in values.items():
        options = 'train_cfg.max_iters=800' if 'long' in name else ''
        row = Row(f'part/{name}', PLAIN, options)
        for seed, value in enumerate(finals):
            runs.append(SimpleNamespace(row=row, hash=f'{name}{seed}', seed=seed))
            records.append({'hash': f'{name}{seed}', 'final': {'accuracy/top1': value}})
    return runs, records


def test_tables_have_what_is_recorded_of_todays_rows():
    values = {'plain': (70.0, 71.0), 'worse': (69.0, 69.0), 'long': (72.0, 74.0, 60.0)}
    runs, records = runs_and_records(values)
    records.append({**records[0], 'hash': 'old', 'final': {'accuracy/top1': 0.0}})
    found = read_settings(runs, records, {})
    text = table(found, found['part/plain']).splitlines()
    assert text[0] == '| setting | cost | seeds | top1 |'
    assert text[2] == '| **part/plain** | 1.00 | 2 | 70.50±0.71 |'
    assert text[3] == '| part/worse | 1.00 | 2 | 69.00±0.00 (-1.50±6.35) |'
    # Differences are of the seeds that both have, and they decide what is on the frontier.
    assert text[4] == '| **part/long** | 2.00 | 3 | 68.67±7.57 (+2.50±6.35) |'
    text = table(found, found['part/long']).splitlines()  # costs are its runs
    assert text[2] == '| **part/plain** | 0.50 | 2 | 70.50±0.71 (-2.50±6.35) |'
    # Another row of the same recipe tells of this one; fine-tuning has no frontier.
    runs[2].row, runs[2].hash = replace(runs[2].row, id='other/same'), 'plain0'
    assert read_settings(runs[2:3], records, {})['other/same'].values == {0: (70.0,)}
    found['part/plain'].row = replace(found['part/plain'].row, needs='backbone')
    assert '**' not in table(found, found['part/plain'])


def test_a_detector_that_finds_nothing_has_no_ap_and_no_calibration():
    runs, records = runs_and_records({'plain': (0.25, None), 'new': (0.5, 0.25)})
    for run, record in zip(runs, records, strict=True):
        run.row = replace(run.row, metrics='coco/bbox_mAP coco/bbox_ECE')
        ap = record['final'].pop('accuracy/top1')
        record['final'] = {'coco/bbox_mAP': ap, 'coco/bbox_ECE': math.nan if ap is None else 0.5}
    found = read_settings(runs, records, {})
    text = table(found, found['part/plain']).splitlines()
    assert text[2] == '| part/plain | 1.00 | 2 | 12.50±17.68 | - |'
    assert text[3] == '| **part/new** | 1.00 | 2 | 37.50±17.68 (+25.00±0.00) | 50.00±0.00 |'


def test_blocks_are_filled_in_and_filled_in_again(tmp_path):
    head = '<!-- table: part against part/plain -->'
    frontier = head.replace('table', 'frontier')
    page = tmp_path / 'STUDY.md'
    page.write_text(f'Typed.\n{head}\nold\n<!-- end -->\nToo.\n{frontier}\n<!-- end -->\n')
    for seeds in (1, 2):  # one alone has no interval
        values = {'plain': (70.0, 71.0)[:seeds], 'plain-long': (71.0, 72.0), 'plain-new': (73.0,)}
        write_study(read_settings(*runs_and_records(values), {}), tmp_path)
        assert page.read_text().count('Not run yet.') == 4 - 2 * seeds
    text = page.read_text()
    assert text.startswith('Typed.\n') and '\nToo.\n' in text
    assert 'old' not in text and 'new' not in text
    assert '| **plain-long** | 2.00 | 2 | 71.50±0.71 (+1.00±0.00) |' in text
    assert (tmp_path / 'images/study_part.png').stat().st_size > 10_000
    write_study({}, tmp_path)
    assert page.read_text().count('Not run yet.') == 2


def test_the_page_is_that_of_the_committed_records(tmp_path):
    shutil.copytree(ROOT / 'docs', tmp_path / 'docs')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    study(tmp_path, '--report')
    page = (ROOT / 'docs/STUDY.md').read_text()
    assert (tmp_path / 'docs/STUDY.md').read_text() == page
    rows = read_rows(ROOT / 'docs/study/rows.csv')
    blocks = re.findall(r'<!-- (?:table|frontier): (\S+) against (\S+) -->', page)
    assert {row.id.rpartition('/')[0] for row in rows.values()} == {part for part, _ in blocks}
    assert {base for _, base in blocks} <= rows.keys()
    assert {row.needs for row in rows.values()} <= {'', *rows}


def study(folder, *words):
    command = [sys.executable, 'tools/study.py', *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_miniature_of_two_seeds(tmp_path):
    folder = tmp_path / 'data/fashion-mnist'
    images = np.random.default_rng(0).integers(0, 256, (250, 28, 28))
    folder.mkdir(parents=True)
    for part in ('train', 't10k'):
        write_idx(folder, part, images, np.arange(250) % 10, gzip.compress)
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'docs/study').mkdir(parents=True)
    head = '<!-- table: classification/x against classification/x/plain -->'
    (tmp_path / 'docs/STUDY.md').write_text(f'{head}\n<!-- end -->\n')
    options = 'train_cfg.max_iters=3 train_dataloader.dataset.subset_seed={seed}'
    lines = [f'classification/x/{n},{config},{options},0-4' for n, config in CONFIGS.items()]
    (tmp_path / 'docs/study/rows.csv').write_text('\n'.join(['id,config,options,seeds', *lines]))
    (tmp_path / 'docs/study/records.jsonl').touch()
    for _ in range(2):  # on another machine: the records are there, the runs are not
        said = study(tmp_path, '--seeds', '2', '--jobs', '2')
        shutil.rmtree(tmp_path / 'work_dirs')
    assert '4 to do' not in said and 'is done' not in said
    records = read_records([tmp_path / 'docs/study/records.jsonl'])
    assert sorted((r['seed'], r['id'].rpartition('/')[2]) for r in records) == [
        (seed, name) for seed in (0, 1) for name in ('gradaug', 'plain')
    ]
    page = (tmp_path / 'docs/STUDY.md').read_text()
    assert re.search(r'gradaug\*?\*? \| \d\.\d\d \| 2 \| ', page), page
