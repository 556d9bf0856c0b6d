"""CutMix on half of the batches: of its authors on CIFAR (PyramidNet), and of GradAug beside it."""

mix = dict(type='CutMix', alpha=1.0, prob=0.5)
