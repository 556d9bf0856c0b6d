import pytest

from mmgradaug.engine.arguments import add_number, config_parser
from tools import benchmark, browse_subnets, gradient_shares

CONFIG = 'configs/mask_rcnn_r18_gradaug_shapes.py'


def test_numbers_have_a_least_value(capsys):
    parser = config_parser('What it does.\nMore.')
    add_number(parser, '--rounds', default=7, least=1)
    assert parser.parse_args([CONFIG]).rounds == 7
    assert parser.parse_args([CONFIG, '--rounds', '1']).rounds == 1
    with pytest.raises(SystemExit):
        parser.parse_args([CONFIG, '--rounds', '0'])
    assert "--rounds: expected a whole number of at least 1, got '0'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('tool', 'words'),
    [
        (benchmark, '--rounds 0'),
        (benchmark, '--batch 0'),
        (benchmark, '--warmup -1'),
        (benchmark, '--size 16 320'),
        (benchmark, '--size 320 big'),
        (browse_subnets, '--iterations 0'),
        (browse_subnets, '--image -1'),
        (browse_subnets, '--seed -1'),
        (gradient_shares, '--batches 0'),
    ],
)
def test_tools_refuse_numbers_out_of_range(tool, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main([CONFIG, *words.split()])
    assert stopped.value.code == 2
    assert f'error: argument {words.split()[0]}: ' in capsys.readouterr().err
