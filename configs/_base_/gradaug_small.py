"""GradAug for the small data sets of the demo, whose networks train from scratch in minutes."""

custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)
gradaug = dict(
    num_subnets=2,
    min_width=0.8,
    transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6]),
)
