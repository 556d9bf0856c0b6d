"""Take a result away: networks and sub-networks for use without this package, and back again."""

from .key_maps import LIBRARIES
from .narrow import narrow_detector
from .onnx import publish_onnx
from .publish import (
    dense_classifier,
    publish_backbone,
    publish_classifier,
    publish_detector,
    publish_weights,
)
from .source import (
    Cut,
    Source,
    load_trained_model,
    open_external,
    open_source,
    untrained_widths,
)
