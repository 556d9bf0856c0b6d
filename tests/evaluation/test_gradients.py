import copy

import torch

from mmgradaug.evaluation.gradients import measure_gradients
from tests.classification import tiny
from tests.networks import batch, build, detector_config
from tests.shapes_run import shapes_config
from tests.training.steps import step_gradients
from tools import gradient_shares


def test_pass_totals_sum_up_to_the_steps_gradient():
    model = build(detector_config(num_subnets=1))
    twin = copy.deepcopy(model)
    data = batch()
    torch.manual_seed(0)
    prepared = model.data_preprocessor(copy.deepcopy(data), True)
    rows = measure_gradients(model, prepared, model.sampler.sample(0, 0))
    names = {(row.pass_name, row.term) for row in rows}
    assert {('full', 'loss_cls'), ('full', 'total'), ('subnet1', 'loss_mask_soft')} <= names
    total = torch.cat([g.flatten() for g in step_gradients(twin, data, 0).values()])
    full, subnet = (row for row in rows if row.term == 'total')
    # |a + b|^2 = |a|^2 + |b|^2 + 2 |a| |b| cos
    squared = full.norm**2 + subnet.norm**2 + 2 * full.norm * subnet.norm * subnet.cosine
    torch.testing.assert_close(squared**0.5, total.norm().item(), rtol=1e-4, atol=0)
    assert abs(full.cosine - 1) < 1e-5
    assert full.loss > 0


def test_recomputed_layers_have_the_same_gradients():
    found = []
    for with_cp in (False, True):
        config = detector_config(num_subnets=1)
        config.backbone.with_cp = with_cp
        model = build(config)
        torch.manual_seed(0)
        data = model.data_preprocessor(batch(), True)
        found.append(measure_gradients(model, data, model.sampler.sample(0, 0)))
        assert all(parameter.grad is None for parameter in model.parameters())
    assert found[0] == found[1]


def test_images_without_labels_have_a_term_in_every_measurement():
    model = tiny.build(gradaug=dict(distill=dict(unlabelled=[0.0, 2.0])))
    data = tiny.batch(8)
    data['data_samples'][4:] = -1
    batch = model.data_preprocessor(data, True)
    for index in range(2):
        rows = measure_gradients(model, batch, model.sampler.sample(0, index))
        terms = [row.pass_name for row in rows if row.term == 'loss_unlabelled' and row.norm > 0]
        assert terms == ['subnet2']


def test_the_tool_prints_a_row_a_term(tmp_path, capsys):
    cfg = shapes_config(tmp_path, train=2, val=2, model=detector_config(num_subnets=1))
    cfg.train_dataloader.batch_size = 1
    config = tmp_path / 'c.py'
    config.write_text(cfg.pretty_text)
    gradient_shares.main([str(config), '--batches', '3'])  # more than an epoch
    rows = [line.split('│')[1:-1] for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == 5]
    (total,) = (row for row in cells if row[:2] == ['full', 'total'])
    assert total[3:] == ['1.000', '+1.000']
    assert ['subnet1', 'loss_mask_soft'] in [row[:2] for row in cells]
