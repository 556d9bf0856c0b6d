"""FinalAndBestHook's file; tests/classification/test_pretrain.py has one of a run."""

import json
from types import SimpleNamespace

from mmengine.logging import MessageHub

from mmgradaug.engine.hooks.final_and_best import FILE, FinalAndBestHook


def test_epochs_that_find_nothing_are_not_the_best(tmp_path):
    """COCO's evaluator gives no metric of them."""
    hook, name = FinalAndBestHook('coco/bbox_mAP'), 'coco/bbox_mAP'
    runner = SimpleNamespace(train_loop=None, work_dir=tmp_path, message_hub=MessageHub('x'))
    for runner.iter, metrics in enumerate(({}, {name: 0.25}, {})):
        hook.after_val_epoch(runner, metrics)
    found = json.loads((tmp_path / FILE).read_text())
    assert found == {'unit': 'iteration', 'final': {'step': 2}, 'best': {'step': 1, name: 0.25}}
