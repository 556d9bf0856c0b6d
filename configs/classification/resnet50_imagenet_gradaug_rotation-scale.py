"""GradAug on ImageNet with quarter turns, then scales (Table 5)."""

_base_ = ['./resnet50_imagenet_gradaug.py', './_base_/methods/rotation.py']

model = dict(
    gradaug=dict(
        transform=dict(
            _delete_=True,
            type='Chain',
            transforms=[_base_.rotation, _base_.model.gradaug.transform],
        )
    )
)
