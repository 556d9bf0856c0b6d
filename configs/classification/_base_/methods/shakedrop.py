"""ShakeDrop with its authors' numbers for PyramidNet on CIFAR (Yamada et al. 2019).

Branches survive with probability 1 - l/L (1 - 0.5), otherwise they are weighed by -1 to 1 forward
and 0 to 1 backward, drawn for each image. These hold where blocks end without a ReLU, as those of
PyramidNet and WideResNet do. AutoAugment's authors have the same numbers. The paper does not say
what it took, for any network.
"""

regulariser = dict(type='ShakeDrop', survival=0.5, alpha=(-1.0, 1.0), beta=(0.0, 1.0))
