"""Stochastic depth of ResNet-110 (Huang et al. 2016), with their survival of the last block.

It is that of the authors' code, whose command has it.
"""

stochdepth = dict(survival=0.5, stochastic=True, evaluation='expected')
