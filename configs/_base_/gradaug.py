"""What turns a detector config into a GradAug config, once for all recipes.

A recipe lists this file among its bases and sets ``model`` as the others do. Three
sub-networks and widths 0.9 to 1 are the paper's for ImageNet (section 4.1); it gives no numbers for
detection, and these scales are ours.
"""

custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)
gradaug = dict(
    num_subnets=3,
    min_width=0.9,
    transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6, 0.4]),
)
