"""WideResNet-28-2 on 1,000 labels of STL-10 with CutMix on half of the batches (Table 10).

Its p=0.1: ``--cfg-options model.data_preprocessor.mix.prob=0.1``.
"""

_base_ = ['./wrn28-2_stl10.py', './_base_/methods/cutmix.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
