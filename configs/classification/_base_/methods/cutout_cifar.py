"""Cutout with its authors' size for CIFAR-100 (DeVries and Taylor 2017): 8, as their commands."""

cutout = dict(type='Cutout', size=8)
