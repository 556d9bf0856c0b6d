"""The rows of the paper: all there, with configs that exist and take their options."""

from collections import Counter
from pathlib import Path

import pytest

from mmgradaug.engine.cli import load_config
from mmgradaug.errors import ConfigError
from mmgradaug.reproduction.rows import (
    Row,
    lines_of,
    read_records,
    read_rows,
    select_rows,
    write_results,
)

ROOT = Path(__file__).parents[2]
ROWS = read_rows()
# Of the paper's tables; Table 10 has no Mean Teacher on STL-10, Table 2 a measurement of ours.
COUNTS = {'T1': 11, 'T2': 8 + 1, 'T3': 14, 'T4': 4, 'T5': 8, 'T6': 6, 'T7': 5, 'T8': 7, 'T9': 6,
          'T10': 27, 'Fig1': 1}  # fmt: skip


def test_every_row_of_the_paper_is_there():
    counts = Counter(row.id.split('/')[0] for row in ROWS.values())
    assert COUNTS.items() <= counts.items() and counts['Fig2'] >= 8
    for row in ROWS.values():
        assert (ROOT / row.config).is_file(), row.id
        values, metrics = row.paper.split(), row.metrics.split()
        assert not values or (len(values) == len(metrics) and row.id[:5] != 'more/'), row.id
        assert row.readme != row.paper or not row.paper


def test_options_fit_their_configs():
    rows = [*ROWS.values(), *read_rows(ROOT / 'docs/study/rows.csv').values()]
    for row in {(r.config, r.options): r for r in rows if r.options}.values():
        words = [option.split('=', 1) for option in row.options_of(3)]
        cfg = load_config(row.config, dict(words))
        assert cfg.randomness.seed == '3'


def test_gpu_hours_are_table_2s():
    hours = {name: float(row.hours) for name, row in ROWS.items() if row.basis == 'Table 2'}
    totals = {'T2/baseline-90': 33, 'T2/cutmix-300': 115, 'T2/gradaug-200': 203}  # of 8 GPUs
    for name, total in totals.items():
        assert hours[name] == pytest.approx(8 * total, rel=0.01)
    assert hours['T1/resnet50/gradaug'] == 61 * 120 / 60 * 8


def test_ids_and_their_beginnings():
    assert [row.id for row in select_rows(ROWS, ['T4'])] == [n for n in ROWS if n[:3] == 'T4/']
    assert select_rows(ROWS, ['T3/wrn28-10/gradaug'])[0].paper == '83.98 96.17'
    with pytest.raises(ConfigError, match="did you mean 'T3/wrn28-10/gradaug'"):
        select_rows(ROWS, ['T3/wrn28-10/gradag'])
    with pytest.raises(ConfigError, match='no row'):
        select_rows(ROWS, ['T'])


def test_the_table_is_that_of_the_committed_records(tmp_path):
    records = read_records(sorted(ROOT.glob('docs/results/*.jsonl')))
    write_results(ROWS.values(), records, tmp_path)
    for name in ('RESULTS.md', 'results.csv'):
        assert (ROOT / 'docs' / name).read_text() == (tmp_path / name).read_text()


def test_what_was_measured_is_told_with_seeds_and_options():
    row = Row('T7/x', 'x.py', metrics='coco/bbox_mAP coco/segm_mAP', paper='36.5 33.3')
    finals = [((), 0, 0.2, 0.4), ((), 0, 0.3, None), ((), 1, 0.5, 0.4), (('a=1',), 0, 0.1, 0.1)]
    records = [dict(id='T7/x', options=list(o), gpus=8 if o else 1, seed=s,
                    final=dict(zip(row.metrics.split(), v, strict=True)))
               for o, s, *v in finals]  # fmt: skip
    command = 'python tools/repro.py run T7/x --seeds'
    other = f'{command} 1 --gpus 8 --cfg-options a=1'
    assert lines_of(row, records) == [
        ('T7/x', row.metrics, row.paper, '', '40.00±14.14 20.00±28.28', '2', f'{command} 2'),
        ('T7/x', row.metrics, '', '', '10.00 10.00', '1', other),
    ]
    assert lines_of(row, [])[0][4:6] == ('', '')
    assert lines_of(Row('T7/x', 'x.py', metrics='-'), records[:1])[0][4:6] == ('-', '1')
