"""What turns a detector config into a GradAug config, once for all recipes.

A recipe lists this file among its bases and sets ``model`` as the others do. The numbers are the
paper's for ImageNet (section 4.1: three sub-networks, widths 0.9 to 1, four scales); it gives none
for detection.
"""

custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)
gradaug = dict(
    num_subnets=3,
    min_width=0.9,
    transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6, 0.4]),
)
