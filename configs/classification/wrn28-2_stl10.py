"""WideResNet-28-2 on 1,000 labels of STL-10: the baseline of the paper's Table 10.

Oliver et al. do not have this data set: the recipe is theirs for CIFAR-10, how images are cropped
is ours.
"""

_base_ = ['./_base_/few_labels.py', './_base_/stl10.py']

train_dataloader = dict(
    batch_size=100,
    drop_last=False,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(labels_per_class=100),
)

model = dict(data_preprocessor=_base_.data_preprocessor)
