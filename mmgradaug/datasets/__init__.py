"""Small data sets in COCO's format, written on demand.

``nuclei`` is a real microscopy image cut into tiles, for the demo. ``shapes`` is generated, for the
tests and for machines without a network. Both are read by mmdet's own ``CocoDataset``.
"""

from .coco_writer import Instance, Sample, is_complete, write_coco
from .nuclei import NucleiSourceError, make_nuclei
from .shapes import ShapesSpec, make_shapes

__all__ = [
    'Instance',
    'NucleiSourceError',
    'Sample',
    'ShapesSpec',
    'is_complete',
    'make_nuclei',
    'make_shapes',
    'write_coco',
]
