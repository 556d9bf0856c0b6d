import numpy as np
import pytest
from mmengine.registry import MODELS

from mmgradaug.visualization import subnets
from mmgradaug.visualization.subnets import save_subnets
from tests.classification import tiny
from tests.shapes_run import CONFIG, TINY
from tests.visualization.pictures import pixels_of
from tools.browse_subnets import main


def options(folder, *more):
    """Options of a tiny network on that data set."""
    return ['--cfg-options', *TINY, f'train_dataloader.dataset.dataset.data_root={folder}/', *more]


def test_colours_do_not_depend_on_the_preprocessor(shapes, tmp_path):
    pictures = []
    for name, changed in (('rgb', []), ('bgr', ['model.data_preprocessor.bgr_to_rgb=False'])):
        np.random.seed(0)  # the flips of the pipeline
        args = ['--out', str(tmp_path / name), '--iterations', '1']
        main([str(CONFIG), *args, *options(shapes, 'model.gradaug.num_subnets=1', *changed)])
        pictures.append(pixels_of(tmp_path / name / 'iteration_000.png'))
    assert np.abs(pictures[1] - pictures[0]).mean() < 0.5


def test_what_training_would_refuse_is_refused(root, tmp_path):
    with pytest.raises(SystemExit, match=r'^error: .*num_classes=7.*3 clas'):
        main([str(CONFIG), *options(root, 'model.roi_head.bbox_head.num_classes=7')])
    for image in (root / 'train').iterdir():
        image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(SystemExit, match=rf'^error: .*{root}/train'):
        main([str(CONFIG), '--out', str(tmp_path), *options(root)])


def test_a_classifiers_classes_and_depths_are_shown(tmp_path, monkeypatch):
    root = tiny.make_folders(tmp_path / 'images')
    gradaug = dict(num_subnets=2, shrink='depth', seed=0)
    backbone = dict(type='SlimmableDepthResNet', depth=20, survival=0.5)
    model = dict(type='GradAugClassifier', backbone=backbone, num_classes=3, gradaug=gradaug)
    loader = dict(
        batch_size=6,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='ClassFolders', data_root=str(root), split='train', pipeline=tiny.LOAD),
    )
    (tmp_path / 'classes.py').write_text(f'{model = }\ntrain_dataloader = {loader}\n')
    seen = []

    def keep(views, path, classes, title):
        seen.append((title, [(v.width, v.depth, v.scale, v.caption) for v in views]))
        return save_subnets(views, path, classes, title)

    monkeypatch.setattr(subnets, 'save_subnets', keep)
    out = tmp_path / 'out'
    main([str(tmp_path / 'classes.py'), '--out', str(out), '--iterations', '2'])
    assert {p.name for p in out.iterdir()} == {'iteration_000.png', 'iteration_001.png'}
    built = MODELS.build(model)
    for iteration, (title, (full, *views)) in enumerate(seen):
        assert title in {f'iteration {iteration}, {name}' for name in 'abc'}
        assert full == (1.0, None, (1.0, 1.0), 'full network: width 1, scale 1\n32 x 32 px')
        for subnet, (width, depth, scale, words) in zip(
            built.sampler.sample(0, iteration), views, strict=True
        ):
            kept = subnet.kept_blocks(built)
            assert (width, depth) == (1.0, sum(kept) / 9)
            assert f'width 1, depth {depth:.3g}, scale {scale[0]:.3g}\n' in words
    assert len({depth for _, (_, *views) in seen for _, depth, *_ in views}) > 1
