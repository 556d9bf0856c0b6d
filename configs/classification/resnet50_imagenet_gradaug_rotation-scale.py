"""GradAug on ImageNet with quarter turns, then scales (Table 5)."""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(
    gradaug=dict(
        transform=dict(
            _delete_=True,
            type='Chain',
            transforms=[
                dict(type='RandomRotate', angles=[0, 90, 180, 270]),
                _base_.model.gradaug.transform,
            ],
        )
    )
)
