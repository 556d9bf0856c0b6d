"""Mixup with the alpha of "Bag of tricks" for ImageNet, 0.2 (He et al., CVPR 2019, and its logs).

Mixup's authors found 0.1 to 0.4 to help on ImageNet; which of these gave their 77.9 (Tables 1 and
2, 200 epochs) is not confirmed.
"""

mix = dict(type='MixUp', alpha=0.2, prob=1.0)
