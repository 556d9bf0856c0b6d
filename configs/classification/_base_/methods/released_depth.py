"""Random depth as the authors' released code has it, where that differs from the paper.

Survival 0.8 of the last block and 1 of the first, evaluation with expected blocks, 200 epochs,
cosine.
"""

released = dict(
    backbone=dict(survival=0.8, keep_first=True, evaluation='expected'),
    max_epochs=200,
    param_scheduler=dict(
        type='CosineAnnealingLR', T_max=200, by_epoch=True, convert_to_iter_based=True
    ),
)
