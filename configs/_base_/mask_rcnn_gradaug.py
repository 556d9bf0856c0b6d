"""``mask_rcnn_pretrained.py`` trained with GradAug."""

_base_ = ['./mask_rcnn_pretrained.py', './gradaug.py']

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    # Scores and masks of sub-networks learn from the full network's, too, as classes do in the
    # paper, which does not describe detection. Labels alone, the default, won in short training.
    gradaug=dict(_base_.gradaug, distill=dict(soft=0.5)),
)
