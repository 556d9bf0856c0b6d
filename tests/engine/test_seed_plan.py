"""Ways of training and their seeds."""

from mmgradaug.engine.seed_plan import planned_runs
from tests.networks import ROOT
from tools.pretrain_demo import CONFIGS, FAST, WORK


def test_ways_share_their_seeds_and_have_their_own_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    plan = planned_runs(tmp_path, CONFIGS | FAST, 2, ['a=1'], WORK)
    assert [[run.options for run in runs] for runs in plan.values()] == 3 * [[
        (f'randomness.seed={s}', f'train_dataloader.dataset.subset_seed={s}', 'a=1') for s in (0, 1)
    ]]  # fmt: skip
    assert len({run.work_dir for runs in plan.values() for run in runs}) == 6
    assert len({run.recipe for runs in plan.values() for run in runs}) == 6
    assert [runs[0].work for runs in plan.values()] == [1.0, 3.3, 3.3]
