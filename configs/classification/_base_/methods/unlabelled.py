"""Batches of 100 images of which half have no labels, as in the code of Oliver et al. 2018."""

half_labelled = dict(batch_size=50, batch_sampler=dict(type='LabelledAndUnlabelled', unlabelled=50))
