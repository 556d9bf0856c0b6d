"""What cannot be turned with the image is refused in the first pass that turns."""

from functools import reduce

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.transforms import Rotate, Scale
from tests.detection.passes import subnet_losses, taught
from tests.networks import batch, build, detector_config

STDS = {'roi_head.bbox_head.bbox_coder.target_stds': [0.1, 0.2, 0.2, 0.2]}
MEANS = {'roi_head.bbox_head.bbox_coder.target_means': [0.1, 0.0, 0.0, 0.0]}
IN_PIXELS = {  # targets are boxes, whatever the coder
    'roi_head.bbox_head.reg_decoded_bbox': True,
    'roi_head.bbox_head.loss_bbox': dict(type='GIoULoss'),
}
OTHER_CODER = {'roi_head.bbox_head.bbox_coder': dict(type='TBLRBBoxCoder')}
# These are decoded before they turn.
PROPOSAL_STDS = {'rpn_head.bbox_coder.target_stds': [1.0, 0.5, 1.0, 1.0]}
UNPAIRED_RATIOS = {'rpn_head.anchor_generator.ratios': [0.5, 1.0]}


@pytest.mark.parametrize(('changes', 'transform', 'distill', 'message'), [
    (STDS, Rotate(1), {}, r'stds \[0.1, 0.2, 0.2, 0.2\] cannot be turned'),
    (STDS, Rotate(3), dict(roi_bbox='soft'), 'cannot be turned'),
    (STDS, Rotate(1), dict(roi_bbox='off'), None),
    (STDS, Rotate(2), {}, None), (STDS, Scale(0.5), {}, None),
    (MEANS, Rotate(2), {}, 'cannot be turned'),
    (MEANS | IN_PIXELS, Rotate(2), {}, None),
    (OTHER_CODER, Rotate(2), {}, r'TBLRBBoxCoder.*cannot be turned'),
    (PROPOSAL_STDS, Rotate(1), dict(rpn_bbox='soft'), None),
    (UNPAIRED_RATIOS, Rotate(1), {}, 'have no counterparts under a quarter turn: use ratios'),
    (UNPAIRED_RATIOS, Rotate(1), dict(rpn_cls='hard'), None),
    (UNPAIRED_RATIOS, Rotate(2), {}, None),
])  # fmt: skip
def test_what_cannot_be_turned_is_refused(changes, transform, distill, message):
    config = detector_config(mask=False, distill=distill)
    for path, value in changes.items():
        *parts, last = path.split('.')
        reduce(getattr, parts, config)[last] = value
    model = build(config)
    data = taught(model, batch(mask=False))
    if message is None:
        subnet_losses(model, data, transform)
    else:
        with pytest.raises(ConfigError, match=message):
            subnet_losses(model, data, transform)
