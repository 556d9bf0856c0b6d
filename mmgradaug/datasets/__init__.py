"""Small data sets, written on demand: real nuclei and digits for the demos, generated images.

Nuclei, shapes and scenes are in COCO's format, the digits in one folder a class.
"""

from .digits import make_digits
from .nuclei import make_nuclei
from .scenes import ScenesSpec, make_scenes
from .shapes import ShapesSpec, make_shapes
