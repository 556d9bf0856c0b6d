"""Mixup with its authors' alpha for CIFAR (Zhang et al., ICLR 2018), whose code has 1.

They also lower the weight decay to 1e-4, which this paper does not say, and is not done here.
"""

mix = dict(type='MixUp', alpha=1.0, prob=1.0)
