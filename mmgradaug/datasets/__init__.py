"""Small data sets, written on demand.

``nuclei`` is a real microscopy image cut into tiles and ``digits`` are real handwritten ones, for
the demos. ``shapes`` is generated, for the tests and for machines without a network. The first and
the last are in COCO's format, the digits in one folder a class.
"""

from .coco_writer import Instance, Sample, is_complete, write_coco
from .digits import make_digits
from .nuclei import make_nuclei
from .shapes import ShapesSpec, make_shapes
from .wheel_files import WheelError

__all__ = [
    'Instance',
    'Sample',
    'ShapesSpec',
    'WheelError',
    'is_complete',
    'make_digits',
    'make_nuclei',
    'make_shapes',
    'write_coco',
]
