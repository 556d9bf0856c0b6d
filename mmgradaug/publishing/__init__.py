"""Take a result away: detectors, backbones and sub-networks for use without this package."""

from .narrow import narrow_backbone, narrow_detector
from .publish import (
    Cut,
    Source,
    build_parent,
    open_source,
    publish_backbone,
    publish_detector,
    publish_onnx,
)
from .recalibration import recalibrate, training_batches
from .stock_config import stock_config

__all__ = [
    'Cut',
    'Source',
    'build_parent',
    'narrow_backbone',
    'narrow_detector',
    'open_source',
    'publish_backbone',
    'publish_detector',
    'publish_onnx',
    'recalibrate',
    'stock_config',
    'training_batches',
]
