"""Folders of images, torchvision's data sets, transforms, mixing and accuracy."""

import gzip
import shutil

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

from mmgradaug.classification import (
    ClassFolders,
    Cutout,
    ImagePreprocessor,
    Lighting,
    TopKAccuracy,
    TorchvisionImages,
)
from mmgradaug.classification.transforms import COLOUR_AXES, COLOUR_SPREAD
from mmgradaug.errors import ConfigError
from tests.classification.tiny import LOAD, make_folders


def folders(root, **options):
    return ClassFolders(str(root), **{'pipeline': LOAD, **options})


def test_folders(tmp_path):
    dataset = folders(make_folders(tmp_path))
    assert dataset.metainfo['classes'] == ['a', 'b', 'c']
    assert dataset.get_cat_ids(5) == [1]
    assert [dataset[i]['data_samples'] for i in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    image = dataset[0]['inputs']
    assert image.dtype == torch.uint8
    reference = V.pil_to_tensor(Image.open(tmp_path / 'train/a/0.png'))
    assert torch.equal(image, reference)  # RGB, bit by bit
    assert len(folders(tmp_path, split='val')) == 6
    assert len(folders(tmp_path / 'train', split='')) == 12
    assert len(folders(tmp_path, split='', data_prefix=dict(img='val'))) == 6
    rare = dict(metainfo=dict(classes=list('abcd')), test_mode=True)
    assert len(folders(tmp_path, split='val', **rare)) == 6


def test_classes_of_the_config(tmp_path):
    dataset = folders(make_folders(tmp_path), metainfo=dict(classes=('c', 'a')))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    labels = [(info['img_path'].split('/')[-2], info['gt_label']) for info in infos]
    assert sorted(labels) == [('a', 1)] * 4 + [('c', 0)] * 4
    (tmp_path / 'classes.txt').write_bytes(b'c\r\na\r\n\r\n')  # an empty line, and Windows' ends
    listed = folders(tmp_path, metainfo=dict(classes=str(tmp_path / 'classes.txt')))
    assert listed.metainfo['classes'] == ['c', 'a'] and len(listed) == 8
    (tmp_path / 'train/7').symlink_to('a')
    numbers = folders(tmp_path, metainfo=dict(classes=[7]))
    assert numbers.metainfo['classes'] == ['7'] and len(numbers) == 4


def test_a_subset_has_as_many_labels_of_each_class(tmp_path):
    make_folders(tmp_path)
    kept = []
    for seed in (dict(), dict(subset_seed=0)):
        dataset = folders(tmp_path, labels_per_class=2, **seed)
        kept.append([dataset.get_data_info(i) for i in range(len(dataset))])
        assert [info['gt_label'] for info in kept[-1]] == [0, 0, 1, 1, 2, 2]
    assert kept[0] == kept[1]
    (tmp_path / 'crawled/deep').mkdir(parents=True)
    shutil.copy(tmp_path / 'train/a/0.png', tmp_path / 'crawled/deep/x.PNG')
    (tmp_path / 'crawled/read.me').touch()
    few = folders(tmp_path, labels_per_class=1, unlabelled='crawled')
    labels = [few.get_data_info(i)['gt_label'] for i in range(len(few))]
    assert len(labels) == 13 and sorted(labels) == [*[-1] * 10, 0, 1, 2] and labels[-1] == -1
    (tmp_path / 'crawled/linked').symlink_to(tmp_path / 'val')
    assert len(folders(tmp_path, unlabelled='crawled')) == 12 + 1 + 6


def test_wrong_folders_are_named(tmp_path):
    make_folders(tmp_path)
    (tmp_path / 'train/empty').mkdir()
    few = dict(metainfo=dict(classes=['a', 'dog']))
    empty = dict(metainfo=dict(classes=['empty']), test_mode=True)
    for root, options, told in (
        (tmp_path / 'none', {}, 'No such file.*none/train.*set data_root'),
        (tmp_path, {}, 'no valid file for the classes empty'),
        (tmp_path, few, 'no valid file for the classes dog'),
        (tmp_path / 'train/a', dict(split=''), 'train/a has no folder of images'),
        (tmp_path, empty, r'each class \(no image\)'),
        (tmp_path, dict(unlabelled='crawl', metainfo=dict(classes=['a'])), 'the classes crawl'),
        (tmp_path, dict(ann_file='train.txt'), r"ann_file='.*train\.txt' is not read"),
    ):
        with pytest.raises(ConfigError, match=told):
            folders(root, **options)
    with pytest.raises(ConfigError, match=r"labels_per_class=9, expected 1 to 4.*class 'a'"):
        folders(tmp_path, labels_per_class=9, metainfo=dict(classes=['a', 'b']))


class FakeCifar:
    """Stands in for torchvision's data set, whose files are not here: five images a class."""

    calls = []

    def __init__(self, root, train, download):
        self.calls.append((root, train, download))
        if not download and not any(call[2] for call in self.calls):
            raise RuntimeError('Dataset not found or corrupted.')
        self.data = np.random.default_rng(train).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
        self.targets, self.classes = [i % 10 for i in range(50)], list('abcdefghij')


def test_cifar_is_downloaded_when_asked_only(monkeypatch):
    monkeypatch.setattr(datasets, 'CIFAR10', FakeCifar)
    FakeCifar.calls.clear()
    options = dict(name='CIFAR10', data_root='/no/cifar', pipeline=[dict(type='PackImage')])
    with pytest.raises(ConfigError, match=r'no complete CIFAR10 in /no/cifar.*download=True'):
        TorchvisionImages(**options)
    assert FakeCifar.calls == [('/no/cifar', True, False)]
    with pytest.raises(ConfigError, match=r"split='Train' of .*, expected 'train' or 'test'"):
        TorchvisionImages(**options, split='Train')
    dataset = TorchvisionImages(**options, split='test', download=True)
    assert FakeCifar.calls[1:] == [('/no/cifar', False, True), ('/no/cifar', False, False)]
    images = FakeCifar('', False, True).data
    assert torch.equal(dataset[2]['inputs'], torch.from_numpy(images[2]).permute(2, 0, 1))
    assert [dataset[i]['data_samples'] for i in range(8, 12)] == [8, 9, 0, 1]
    assert list(dataset.metainfo['classes']) == list('abcdefghij')


def test_stl10_as_torchvision_lays_it_out(tmp_path, monkeypatch):
    """4 and 2 images of noise, whose MD5 sums torchvision would refuse."""
    monkeypatch.setattr(datasets.STL10, '_check_integrity', lambda _: True)
    folder = tmp_path / 'stl10_binary'
    folder.mkdir()
    (folder / 'class_names.txt').write_text('\n'.join(f'class {i}' for i in range(10)))
    generator = np.random.default_rng(0)
    for split, labels in (('train', [9, 0, 0, 9]), ('test', [9, 0])):
        pixels = generator.integers(0, 256, (len(labels), 3, 96, 96), dtype=np.uint8)
        # Columns are stored before rows, and classes are counted from 1.
        (folder / f'{split}_X.bin').write_bytes(pixels.transpose(0, 1, 3, 2).tobytes())
        (folder / f'{split}_y.bin').write_bytes(bytes(label + 1 for label in labels))
        options = dict(name='STL10', data_root=str(tmp_path), split=split)
        dataset = TorchvisionImages(**options, pipeline=[dict(type='PackImage')])
        assert [entry['data_samples'] for entry in dataset] == labels
        for entry, image in zip(dataset, pixels, strict=True):
            assert entry['inputs'].is_contiguous()
            assert torch.equal(entry['inputs'], torch.from_numpy(image))
        assert list(dataset.metainfo['classes']) == [f'class {i}' for i in range(10)]


def write_idx(folder, part, images, labels, pack):
    """Write images (N, H, W) and labels in MNIST's format; ``pack`` may be ``gzip.compress``."""
    end = '.gz' * (pack is gzip.compress)
    for kind, array in (('images-idx3', images), ('labels-idx1', labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, '>i4').tobytes()
        content = pack(header + array.astype(np.uint8).tobytes())
        (folder / f'{part}-{kind}-ubyte{end}').write_bytes(content)


@pytest.mark.parametrize(('name', 'pack'), [('FashionMNIST', gzip.compress), ('MNIST', bytes)])
def test_mnist_from_torchvisions_folders_or_the_files_themselves(tmp_path, name, pack):
    folder = tmp_path / name / 'raw'
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    write_idx(folder, 'train', images, np.arange(20) % 10, pack)
    write_idx(folder, 't10k', images[5:15], np.arange(10), pack)
    for root in (tmp_path, folder):
        options = dict(name=name, data_root=str(root), pipeline=[dict(type='PackImage')])
        train = TorchvisionImages(**options)
        for index in (0, 13, 19):
            assert train[index]['data_samples'] == index % 10
            assert train[index]['inputs'].shape == (3, 28, 28)
            assert (train[index]['inputs'].numpy() == images[index]).all()
        test = TorchvisionImages(**options, split='test')
        assert len(test) == 10 and (test[3]['inputs'].numpy() == images[8]).all()
        few = TorchvisionImages(**options, labels_per_class=1)
        assert sorted(few[i]['data_samples'] for i in range(len(few))) == list(range(10))
    assert list(train.metainfo['classes']) == getattr(datasets, name).classes
    path = next(folder.glob('t10k-images*'))
    whole = path.read_bytes()
    debian = 'dataset-fashion-mnist' if name == 'FashionMNIST' else '$'
    damaged = [(folder, 'test', text) for text in (whole[:-5], whole[:10] + b'\xff' * 9, b'')]
    for root, split, text in [*damaged, (tmp_path / 'none', 'train', b'')]:
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=f'no complete {name} in .*download=True.*{debian}'):
            TorchvisionImages(name, str(root), split=split)


def test_torchvisions_transforms_by_name():
    options = dict(type='torchvision/RandomResizedCrop', size=16, interpolation='bicubic')
    transform = TRANSFORMS.build(options)
    image = torch.randint(256, (3, 40, 30), dtype=torch.uint8)
    torch.manual_seed(0)
    found = transform({'img': image})['img']
    torch.manual_seed(0)
    TRANSFORMS.build(dict(type='torchvision/AutoAugment', policy='cifar10'))
    reference = v2.RandomResizedCrop(16, interpolation=v2.InterpolationMode.BICUBIC)(image)
    assert torch.equal(found, reference)


def test_lighting_is_alexnets_noise_on_the_scale_of_bytes():
    gray = torch.full((3, 1, 1), 128, dtype=torch.uint8)
    torch.manual_seed(0)
    lighting = Lighting(std=1.0)
    shifts = torch.stack([lighting({'img': gray})['img'].flatten() for _ in range(4000)]).double()
    axes, spread = torch.tensor(COLOUR_AXES).double(), torch.tensor(COLOUR_SPREAD).double()
    expected = 255**2 * axes @ spread.square().diag() @ axes.T
    torch.testing.assert_close(torch.cov(shifts.T), expected, rtol=0.1, atol=20)
    assert shifts.mean(0).sub(128).abs().max() < 2
    assert torch.equal(Lighting(std=0.0)({'img': gray})['img'], gray)


def test_cutout_fills_a_square_cut_at_the_border():
    torch.manual_seed(0)
    areas, cutout = set(), Cutout(size=4, fill=(7, 8, 9))
    original = torch.zeros(3, 10, 10, dtype=torch.uint8)
    for _ in range(200):
        image = cutout({'img': original})['img']
        assert image.amax((1, 2)).tolist() == [7, 8, 9]
        rows, columns = image[0].nonzero().unbind(1)
        height, width = len(rows.unique()), len(columns.unique())
        assert len(rows) == height * width
        areas.add((height, width))
    assert areas == {(h, w) for h in (2, 3, 4) for w in (2, 3, 4)}
    assert not original.any()


@pytest.mark.parametrize('kind', ['CutMix', 'MixUp'])
def test_images_are_normalised_and_batches_that_train_are_mixed(kind):
    images = torch.stack([torch.full((3, 32, 32), value, dtype=torch.uint8) for value in (10, 210)])
    data = dict(inputs=list(images), data_samples=[0, 2])
    mix = dict(type=kind, alpha=1.0, prob=0.5)
    mixing = ImagePreprocessor([10, 20, 30], [2, 4, 5], mix=mix)
    mixing.num_classes = 3
    torch.manual_seed(0)
    outs = [mixing(data, training=True) for _ in range(200)]
    mixed = [out for out in outs if out['data_samples'].dim() == 2]
    assert 70 < len(mixed) < 130
    for out in mixed:
        share = (210 - (out['inputs'][0, 0] * 2 + 10).mean().item()) / 200  # of the first image
        assert out['data_samples'][0].tolist() == pytest.approx([share, 0, 1 - share], abs=1e-4)
        values = out['inputs'][0, 0].unique()
        assert len(values) <= 2 if kind == 'CutMix' else len(values) == 1
    plain = mixing(data, training=False)
    assert plain['data_samples'].tolist() == [0, 2]
    expected = V.normalize(images.float(), [10, 20, 30], [2, 4, 5])
    torch.testing.assert_close(plain['inputs'], expected)


def accuracy(logits, labels):
    metric = TopKAccuracy((1, 2))
    samples = [dict(logits=one, gt_label=label) for one, label in zip(logits, labels, strict=True)]
    metric.process(None, samples[:3])
    metric.process(None, samples[3:] + samples[:2])  # which several processes get twice
    return metric.evaluate(len(samples))


def test_accuracy_is_that_of_topk():
    logits, labels = torch.randn(50, 7), torch.randint(7, (50,))
    best = logits.topk(2).indices
    expected = {
        'accuracy/top1': 100 * (best[:, 0] == labels).double().mean().item(),
        'accuracy/top2': 100 * (best == labels[:, None]).any(1).double().mean().item(),
    }
    assert accuracy(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize('value', [0.0, float('nan')])
def test_a_network_that_says_the_same_of_all_classes_knows_none(value):
    logits = torch.full((4, 3), value)
    assert accuracy(logits, torch.arange(4) % 3)['accuracy/top1'] == 0
