"""tools/dist_pretrain.sh as users call it, by two processes on the CPU."""

import pytest
import torch

from tests.classification.test_pretrain import CONFIG, SMALL
from tests.classification.tiny import make_folders
from tests.launching import free_port, logged, run

HOOK = """\
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KeepState(Hook):
    def before_train(self, runner):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(torch.stack(list(data_batch['inputs'])).double().mean().item())

    def after_train(self, runner):
        name = type(runner.model).__name__
        found = {'wrapper': name, 'seen': self.seen, 'state': runner.model.module.state_dict()}
        torch.save(found, f'{runner.work_dir}/rank{get_rank()}.pt')
"""


@pytest.mark.slow
def test_two_processes_train_the_same_classifier_on_their_own_images(tmp_path):
    root = make_folders(tmp_path / 'images')
    (tmp_path / 'keep_state.py').write_text(HOOK)
    config = tmp_path / 'mine.py'
    config.write_text(
        f'_base_ = {CONFIG!r}\n'
        "custom_imports = dict(imports=['mmgradaug', 'keep_state'], allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='KeepState')]\n"
    )
    data = [f'{x}_dataloader.dataset.data_root={root}/' for x in ('train', 'val', 'test')]
    options = [*SMALL, *data, 'train_dataloader.batch_size=2', 'env_cfg.dist_cfg.backend=gloo']
    work_dir = tmp_path / 'run'
    run(
        *('dist_pretrain.sh', config, 2, '--work-dir', work_dir, '--cfg-options', *options),
        PORT=free_port(),
        PYTHONPATH=tmp_path,
    )
    ranks = [torch.load(work_dir / f'rank{rank}.pt', weights_only=True) for rank in (0, 1)]
    assert [r['wrapper'] for r in ranks] == ['GradAugDistributedDataParallel'] * 2
    assert len(ranks[0]['seen']) == 6  # 12 images, 2 on each of 2 processes, 2 epochs
    assert all(a != b for a, b in zip(ranks[0]['seen'], ranks[1]['seen'], strict=True))
    one, other = (rank['state'] for rank in ranks)
    parameters = [k for k in one if 'running' not in k]
    assert all(torch.equal(one[key], other[key]) for key in parameters)
    steps = logged(work_dir, 'subnet2/loss_cls_soft')
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    assert all(value > 0 for value in steps.values())
    # The checkpoint is the first process's, with the accuracy of all images of both.
    saved = torch.load(work_dir / 'epoch_2.pth', weights_only=False)['state_dict']
    assert all(torch.equal(saved[key], one[key]) for key in one)
    assert set(logged(work_dir, 'accuracy/top1')) == {1, 2}
