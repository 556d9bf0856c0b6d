"""Take a result away: networks and sub-networks for use without this package, and back again."""

from .classifiers import dense_classifier, publish_classifier, publish_weights
from .layouts import LAYOUTS
from .narrow import narrow_detector
from .parent import build_parent
from .publish import publish_backbone, publish_detector, publish_onnx, require_mmdets_backbone
from .source import Cut, Source, open_foreign, open_source
from .trained_widths import warn_untrained

__all__ = [
    'LAYOUTS',
    'Cut',
    'Source',
    'build_parent',
    'dense_classifier',
    'narrow_detector',
    'open_foreign',
    'open_source',
    'publish_backbone',
    'publish_classifier',
    'publish_detector',
    'publish_onnx',
    'publish_weights',
    'require_mmdets_backbone',
    'warn_untrained',
]
