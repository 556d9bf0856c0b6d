import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData

from mmgradaug.detection.labels import move_instances, move_masks, move_metainfo, move_samples
from mmgradaug.transforms import DrawnChain, GeometricMap, Rotate, Scale
from tests.networks import batch

TRANSFORMS = [Scale(2), Rotate(1), Rotate(2), Rotate(3), DrawnChain((Rotate(1), Scale(2)))]


@pytest.mark.parametrize('transform', TRANSFORMS)
def test_boxes_and_masks_move_as_images_do(transform):
    polygons = PolygonMasks([[np.array([4.0, 2.0, 20.0, 4.0, 8.0, 14.0])]], 16, 24)
    bitmaps = BitmapMasks(polygons.to_ndarray(), 16, 24)
    image, mapping = transform(torch.from_numpy(bitmaps.masks)[None].float())
    expected = BitmapMasks((image[0].numpy() > 0.5).astype(np.uint8), *mapping.out_size)
    for masks, least_iou in ((bitmaps, 0.85), (polygons, 0.75)):
        instances = InstanceData(bboxes=bitmaps.get_bboxes('hbox'), masks=masks)
        moved = move_instances(instances, mapping)
        assert (moved.masks.height, moved.masks.width) == mapping.out_size
        found, wanted = (m.to_ndarray()[0].astype(bool) for m in (moved.masks, expected))
        assert (found & wanted).sum() / (found | wanted).sum() > least_iou
        assert (moved.bboxes - expected.get_bboxes('hbox').tensor).abs().max() <= 1


def test_masks_smaller_than_the_batch_are_padded_first():
    small = BitmapMasks(np.ones((1, 4, 4), np.uint8), 4, 4)
    moved = move_masks(small, GeometricMap((8, 8), (8, 8), 2))
    assert moved.masks[0, 4:, 4:].all()
    assert moved.masks.sum() == 16


@pytest.mark.parametrize(('shape', 'own', 'padded', 'moved_shape', 'moved_own'), [
    ((100, 150), (128, 160), (64, 80), (50, 75), (64, 80)),
    ((100, 150), (128, 160), (64, 96), (50, 75), (64, 96)),  # padded with the batch
    ((100, 90), (128, 96), (64, 96), (50, 45), (64, 48)),  # beyond: no valid anchors
    ((60, 150), (64, 160), (96, 96), (30, 75), (32, 96)),
])  # fmt: skip
def test_metainfo_of_a_scaled_image_keeps_its_own_padding(
    shape, own, padded, moved_shape, moved_own
):
    mapping = GeometricMap((128, 160), (64, 80))
    metainfo = dict(img_shape=shape, pad_shape=own, flip=True)
    assert move_metainfo(metainfo, mapping, padded) == dict(
        img_shape=moved_shape, pad_shape=moved_own, batch_input_shape=padded, flip=True
    )


def test_labels_that_cannot_move_are_refused():
    """BoxInst's colour similarities are maps of a quarter of the image's size."""
    mapping = GeometricMap((8, 8), (4, 4))
    similar = InstanceData(pairwise_masks=torch.zeros(1, 8, 2, 2))
    with pytest.raises(ValueError, match=r'pairwise_masks \(a tensor of shape \(1, 8, 2, 2\)\)'):
        move_instances(similar, mapping)
    sample = DetDataSample(metainfo=dict(img_shape=(8, 8)))
    sample.set_field(np.zeros(3), 'lines_array')
    with pytest.raises(ValueError, match=r'lines_array \(ndarray\) cannot be moved'):
        move_samples([sample], mapping)


def test_masks_and_maps_move_and_are_padded_as_the_images_are():
    """mmdet's data preprocessor pads them with the batch; heads compare both cell by cell."""
    sample = batch((2,), size=96)['data_samples'][0]
    labels = torch.zeros(1, 96, 96, dtype=torch.long)
    labels[:, :48] = 3
    sample.gt_sem_seg = PixelData(sem_seg=labels)
    (moved,) = move_samples([sample], GeometricMap((96, 96), (48, 48), 2), (64, 64))
    assert moved.batch_input_shape == moved.pad_shape == (64, 64)
    assert moved.img_shape == (48, 48)
    assert moved.gt_instances.masks.masks.shape[1:] == (64, 64)
    assert not moved.gt_instances.masks.masks[:, 48:].any()
    expected = torch.full((1, 64, 64), 255)
    expected[:, :24, :48] = 0
    expected[:, 24:48, :48] = 3
    assert torch.equal(moved.gt_sem_seg.sem_seg, expected)
