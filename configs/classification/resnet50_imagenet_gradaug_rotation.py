"""GradAug on ImageNet with quarter turns instead of scales (Table 5)."""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(
    gradaug=dict(transform=dict(_delete_=True, type='RandomRotate', angles=[0, 90, 180, 270]))
)
