"""WideResNet-28-2 on 1,000 labels of STL-10 with GradAug-semi (Table 10).

The full network teaches sub-networks on images without labels, too. That all of them see these, at
the weight of the others, is ours: the supplement is not public. ``--cfg-options
model.gradaug.distill.unlabelled=[0.0,1.0,1.0]`` shows the narrowest none.
"""

_base_ = ['./wrn28-2_stl10_gradaug.py', './_base_/methods/unlabelled.py']

train_dataloader = dict(
    _base_.half_labelled, dataset=dict(split='train+unlabeled', unlabelled=True)
)
model = dict(gradaug=dict(distill=dict(unlabelled=1.0)))
