from PIL import Image

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from tools.browse_subnets import main


def test_draws_every_iteration(tmp_path):
    spec = ShapesSpec(num_images=8, size=(64, 64))
    make_shapes(tmp_path / 'shapes', spec, spec)
    root = f'train_dataloader.dataset.dataset.data_root={tmp_path}/shapes/'
    config = 'configs/mask_rcnn_r18_gradaug_shapes.py'
    args = ['--out', str(tmp_path / 'out'), '--iterations', '2', '--cfg-options', root]
    assert main([config, *args]) == 0
    pictures = sorted((tmp_path / 'out').iterdir())
    assert [p.name for p in pictures] == ['iteration_000.png', 'iteration_001.png']
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 200
