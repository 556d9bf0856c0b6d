"""Mean Teacher with the numbers of Oliver et al. 2018 (their public code, for CIFAR-10).

Learning rate 4e-4, weight of consistency 8, which rises over 200,000 iterations, decay of the
average 0.95. They take the loss of consistency on images without labels alone and evaluate the
student; here both are as in the method's own paper: all images, and the average.
"""

_base_ = './unlabelled.py'

mean_teacher = dict(type='MeanTeacherClassifier', consistency=8.0, ramp_up=200_000)
averaging = dict(type='AveragedTeacherHook', momentum=0.05)
mean_teacher_lr = 4e-4
