"""WideResNet-28-2 on 1,000 labels of STL-10 with Mean Teacher."""

_base_ = ['./wrn28-2_stl10.py', './_base_/methods/mean_teacher.py']

train_pipeline = [
    dict(type='TwoViews', transforms=_base_.train_pipeline[:-1]),
    dict(type='PackImage'),
]
train_dataloader = dict(
    _base_.half_labelled,
    dataset=dict(split='train+unlabeled', unlabelled=True, pipeline=train_pipeline),
)
model = _base_.mean_teacher
optim_wrapper = dict(optimizer=dict(lr=_base_.mean_teacher_lr))
default_hooks = dict(mean_teacher=_base_.averaging)
