"""Take a result away: networks and sub-networks for use without this package, and back again."""

from .classifiers import publish_classifier, publish_weights
from .layouts import LAYOUTS
from .narrow import narrow_backbone, narrow_detector
from .parent import build_parent
from .publish import publish_backbone, publish_detector, publish_onnx, require_mmdets_backbone
from .recalibration import recalibrate, training_batches
from .source import Cut, Source, open_foreign, open_source
from .stock_config import stock_backbone, stock_config

__all__ = [
    'LAYOUTS',
    'Cut',
    'Source',
    'build_parent',
    'narrow_backbone',
    'narrow_detector',
    'open_foreign',
    'open_source',
    'publish_backbone',
    'publish_classifier',
    'publish_detector',
    'publish_onnx',
    'publish_weights',
    'recalibrate',
    'require_mmdets_backbone',
    'stock_backbone',
    'stock_config',
    'training_batches',
]
