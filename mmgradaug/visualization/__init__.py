"""Pictures of a training run: curves, predictions beside labels, and what sub-networks saw.

Everything draws from plain arrays and files with matplotlib's Agg canvas and no global state, so it
works without a display and from any thread.
"""

from .curves import read_scalars, save_curves
from .objects import Objects
from .predictions import LabelledImage, save_predictions
from .recorder import recording_passes
from .subnets import SubnetView, denormalize, save_subnets

__all__ = [
    'LabelledImage',
    'Objects',
    'SubnetView',
    'denormalize',
    'read_scalars',
    'recording_passes',
    'save_curves',
    'save_predictions',
    'save_subnets',
]
