"""Curves are drawn from mmengine's own log."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmgradaug.engine.run_log import read_scalars
from mmgradaug.visualization.curves import pass_losses, save_curves


def write_log(path: Path, gradaug: bool = False) -> Path:
    """Two epochs of a log as mmengine writes it."""
    lines: list[dict[str, float]] = []
    for step in range(1, 7):
        entry = {'lr': 0.02, 'loss': 6.0 / step, 'loss_cls': 2.0 / step, 'step': step, 'epoch': 1}
        if gradaug:
            entry |= {'full/loss': 2.0 / step, 'subnet1/loss': 4.0 / step}
        lines.append(entry)
    for epoch in (1, 2):
        lines.append({'coco/bbox_mAP': 0.2 * epoch, 'coco/segm_mAP': 0.3 * epoch, 'step': epoch})
    path.write_text('\n'.join(json.dumps(line) for line in lines) + '\n')
    return path


def test_scalars_are_read_by_part(tmp_path: Path) -> None:
    scalars = read_scalars(write_log(tmp_path / 'scalars.json'))
    steps, losses = scalars.series('train', 'loss')
    assert steps == [1, 2, 3, 4, 5, 6]
    assert losses[0] == 6.0
    assert scalars.last('bbox_mAP') == pytest.approx(0.4)
    assert scalars.last('segm_mAP') == pytest.approx(0.6)
    assert scalars.last('recall') is None


def test_losses_of_the_passes_are_found(tmp_path: Path) -> None:
    scalars = read_scalars(write_log(tmp_path / 'scalars.json', gradaug=True))
    assert pass_losses(scalars.train) == {'full': 'full/loss', 'sub-network 1': 'subnet1/loss'}


@pytest.mark.parametrize('gradaug', [False, True])
def test_picture_is_written(tmp_path: Path, gradaug: bool) -> None:
    scalars = read_scalars(write_log(tmp_path / 'scalars.json', gradaug))
    path = save_curves(scalars, tmp_path / 'new' / 'curves.png', title='a run')
    with Image.open(path) as picture:
        assert abs(picture.size[0] - 1155) <= 2  # rounds differently between matplotlibs
        assert abs(picture.size[1] - 506) <= 2
        assert len(np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0)) > 10
    assert [p.name for p in path.parent.iterdir()] == ['curves.png']


def test_a_run_without_validation_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    path.write_text('{"loss": 1.0, "step": 1}\n')
    assert save_curves(read_scalars(path), tmp_path / 'curves.png').is_file()


def test_errors_name_the_line_and_the_lack(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    path.write_text('{"loss": 1.0, "step": 1}\n{"loss": 1.')
    with pytest.raises(ValueError, match='line 2'):
        read_scalars(path)
    path.write_text('{"coco/bbox_mAP": 0.1, "step": 1}\n')
    with pytest.raises(ValueError, match='nothing was trained'):
        save_curves(read_scalars(path), tmp_path / 'curves.png')
