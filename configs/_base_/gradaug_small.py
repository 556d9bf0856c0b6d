"""GradAug for small data sets, on which networks train in minutes."""

custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)
gradaug = dict(
    num_subnets=2,
    min_width=0.8,
    transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6]),
)
