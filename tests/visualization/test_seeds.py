import numpy as np
import pytest
from PIL import Image

from mmgradaug.engine.run_log import Scalars
from mmgradaug.visualization.activation_maps import RIGHT, WRONG, NetworkMaps, save_activation_maps
from mmgradaug.visualization.canvas import new_figure
from mmgradaug.visualization.seeds import _draw_seeds, save_seed_curves


def log(top1, step=10):
    train = [{'step': 5 * i, 'loss': 9.0, 'loss_cls': 3.0 / i, 'epoch': i} for i in (1, 2, 3)]
    return Scalars.of([*train, {'step': step, 'accuracy/top1': top1}])


def test_the_thick_line_is_the_mean_of_the_thin_ones(tmp_path):
    axes = new_figure(2, 2).subplots()
    _draw_seeds(axes, [([1, 2], [3.0, 5.0]), ([1, 2], [5.0, 9.0])], 'black', 'GradAug')
    lines = [line.get_ydata().tolist() for line in axes.lines]
    assert lines == [[3.0, 5.0], [5.0, 9.0], [4.0, 7.0]]
    assert axes.lines[2].get_linewidth() > axes.lines[0].get_linewidth()
    runs = {'baseline': [log(50.0), log(60.0)], 'GradAug': [log(40.0), log(45.0)]}
    path = save_seed_curves(runs, tmp_path / 'curves.png', title='two ways')
    with Image.open(path) as picture:
        assert picture.size == (1155, 484)


def test_logs_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match='GradAug: no validation with'):
        save_seed_curves({'GradAug': [log(50.0), Scalars(log(1.0).train, [])]}, tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'GradAug, last 55\.0: the seeds logged other steps'):
        save_seed_curves({'GradAug': [log(50.0), log(60.0, step=20)]}, tmp_path / 'a.png')


@pytest.mark.parametrize('predicted', [[0, 1], [0, 0]])
def test_wrong_predictions_have_their_own_colour(tmp_path, predicted):
    images = np.zeros((2, 8, 8), dtype=np.uint8)
    maps = NetworkMaps('baseline', np.random.rand(2, 8, 8), predicted, [0.9, 0.5])
    path = save_activation_maps(images, [0, 1], [maps], tmp_path / 'maps.png', ['cat', 'dog'])
    pixels = np.asarray(Image.open(path).convert('RGB')).reshape(-1, 3)

    def shown(colour):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return bool((np.abs(pixels.astype(int) - wanted).max(1) < 25).any())

    assert shown(RIGHT)
    assert shown(WRONG) == (predicted != [0, 1])
