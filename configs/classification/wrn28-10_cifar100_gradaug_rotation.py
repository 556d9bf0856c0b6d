"""GradAug on CIFAR-100 with quarter turns instead of scales (Table 5)."""

_base_ = ['./wrn28-10_cifar100_gradaug.py', './_base_/methods/rotation.py']

model = dict(gradaug=dict(transform=dict(_delete_=True, **_base_.rotation)))
