"""Go through every config that the installed mmdet ships: `tools/coverage_table.py`.

Puts the slimmable backbone into each config whose backbone is a ResNet, ResNetV1d or ResNeXt and
loads the stock backbone's state dict strictly; then, for one config of each family, takes GradAug
steps and predicts on generated images. Prints the counts and writes docs/COVERAGE.md.
"""

import argparse
import copy
import logging
import multiprocessing
import re
import resource
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

if __name__ == '__main__':  # before imports that take seconds, which --help need not wait for
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    text = "families, also patterns such as 'dino*'; the page is not written"
    parser.add_argument('--only', nargs='+', metavar='FAMILY', help=text)
    parser.add_argument('--workers', type=int, default=1, help='families at a time')
    ARGS = parser.parse_args()

import mmdet
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import Tensor, nn

from mmgradaug import __version__
from mmgradaug.evaluation.random_batch import random_batch
from mmgradaug.reproduction.smoke import dicts_of
from mmgradaug.type_names import type_name

PAGE = Path('docs/COVERAGE.md')
MMDET = Path(mmdet.__file__).parent
SHIPPED = next(f for f in (MMDET / '.mim/configs', MMDET.parent / 'configs') if f.is_dir())
SLIMMABLE = {name: f'Slimmable{name}' for name in ('ResNet', 'ResNetV1d', 'ResNeXt')}
SCALES = dict(type='RandomScale', scales=[0.75, 0.5])
GRADAUG = dict(num_subnets=2, min_width=0.8, transform=SCALES, distill=dict(soft=0.5))
MEMORY = 6  # GiB that a process may take; a config that wants more fails
SIZE = (160, 192)  # height and width of the images in pixels
LARGER = {'ddod': (544, 576)}  # it convolves 3 x 3 cells at stride 128, also at scale 0.5
# Most RoIs per image that are sampled and proposed, queries, points of a mask and doublings of
# PointRend's masks, by config key; mmdet has 512, 1000, up to 900, 12544 and 5.
LIMITS = dict(num=64, max_per_img=100, num_queries=100, num_points=1024, subdivision_steps=2)
# Size to which a batch is padded or resized where a config asks for it; mmdet has (1024, 1024) and
# more, whatever the images' size.
CANVAS = dict.fromkeys(('size', 'scale', 'random_size_range'), (192, 224))
# Detectors that GradAug is not made for, by the name of their class or of one that it extends.
OUTSIDE = {
    'BaseMOTModel': 'it tracks objects through videos; GradAug trains detectors of single images',
    'SemiBaseDetector': 'it wraps a detector, which GradAug trains, for images without labels too',
    'GroundingDINO': 'it reads text with a language model, which has to be downloaded',
    'CLRNet': 'it finds lanes, whose labels mmgradaug cannot move with the image',
}
STOCK_FAILS = 'mmdet without mmgradaug fails here too: '


def main(args: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)  # how each weight is initialised
    init_default_scope('mmdet')
    models, unread = shipped_configs(args.only or ['*'])
    failures = {n: swap_failure(m) for n, m in track(models.items(), 'swapping', transient=True)}
    families: dict[str, dict] = defaultdict(dict)
    deep = {n: any(r.get('depth', 50) > 50 for r in resnets(m)) for n, m in models.items()}
    for name in sorted(models, key=lambda n: (failures[n] != '', deep[n], len(n), n)):
        families[Path(name).parts[0]][name] = models[name]
    rows = []
    with ThreadPoolExecutor(args.workers) as threads:
        trials = threads.map(try_family, [families[family] for family in sorted(families)])
        for row in track(trials, 'training', total=len(families)):
            rows.append(row)
            print(as_row(row), flush=True)
    page = report(models, failures, rows, unread)
    print(page.partition('## Training')[0])
    if not args.only:
        PAGE.write_text(page)


def shipped_configs(families: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return mmdet's model configs with a ResNet, and why others do not load, by file name."""
    models, unread = {}, {}
    found = {path for family in families for path in SHIPPED.glob(f'{family}/**/*.py')}
    for path in track(sorted(found), 'reading', transient=True):
        if '_base_' in path.parts:
            continue
        name = str(path.relative_to(SHIPPED))
        try:
            model = Config.fromfile(path).get('model')
        except Exception as error:  # other people's files may fail in any way
            unread[name] = one_line(error)
            continue
        if any(resnets(model)):
            models[name] = model
    return models, unread


def resnets(config: Any) -> Iterator[Any]:
    for part in dicts_of(config):
        kind = part.get('type')
        if type_name(kind) in SLIMMABLE and not str(kind).startswith('mmpretrain.'):
            yield part


def slimmable(resnet: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in resnet.items() if key != 'pretrained'}
    return {**options, 'type': SLIMMABLE[type_name(resnet['type'])], 'init_cfg': None}


def swap_failure(model: Any) -> str:
    """Return why a slimmable backbone does not take the stock state dict; empty if all do."""
    try:
        with torch.device('meta'):  # keys and shapes alone
            for stock in resnets(model):
                slim = MODELS.build(slimmable(stock))
                slim.load_state_dict(MODELS.build({**stock, 'init_cfg': None}).state_dict())
    except Exception as error:  # other people's configs may fail in any way
        return one_line(error)
    return ''


def try_family(models: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the row of the first config that mmdet can train, each in a process of its own."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmdet.models', 'mmgradaug'])
    rows = []
    for name, model in models.items():
        try:
            with ProcessPoolExecutor(1, context, limit) as process:
                targets, remark = process.submit(try_config, name, model).result()
        except BrokenProcessPool as error:
            targets, remark = 'fails', one_line(error)
        family, detector = Path(name).parts[0], type_name(model.get('type'))
        rows.append((family, f'`{name}`', detector, targets, remark))
        if not remark.startswith(STOCK_FAILS):
            return rows[-1]
    return rows[0]


def limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY << 30, hard))
    logging.disable(logging.WARNING)


def try_config(name: str, model: Any) -> tuple[str, str]:
    """Train and predict; return ``'distilled'``, ``'labels'`` or ``'fails'``, and why."""
    init_default_scope('mmdet')
    for base in getattr(MMDET_MODELS.get(type_name(model.type)), '__mro__', ()):
        if base.__name__ in OUTSIDE:
            return 'fails', OUTSIDE[base.__name__]
    size = LARGER.get(Path(name).parts[0], SIZE)
    stock, gradaug = reduced(copy.deepcopy(model)), reduced(copy.deepcopy(model))
    for resnet in list(resnets(gradaug)):
        resnet.update(slimmable(resnet), pretrained=None)
    gradaug.update(type='GradAugDetector', detector=str(model.type), gradaug=GRADAUG)
    try:
        detector = train_and_predict(gradaug, size)
    except Exception as error:  # other people's models may fail in any way
        reason = one_line(error)
        try:
            train_and_predict(stock, size)
        except Exception as stock_error:
            reason = STOCK_FAILS + one_line(stock_error)
        return 'fails', reason
    return ('distilled', '') if detector._distillers else ('labels', detector._undistilled)


def reduced(model: Any) -> Any:
    """Change a config for small images, one process and no download; return it."""
    for part in dicts_of(model):
        for key in LIMITS.keys() & part.keys():
            part[key] = min(part[key], LIMITS[key])
        for augment in part.get('batch_augments') or ():
            augment.update({key: size for key, size in CANVAS.items() if key in augment})
        if part.get('type') == 'MMSyncBN':
            part['type'] = 'SyncBN'  # what mmgradaug asks for instead
        if 'teacher_config' in part:  # relative to mmdet's repository
            name = str(part['teacher_config']).removeprefix('configs/')
            part.update(teacher_config=str(SHIPPED / name), teacher_ckpt=None)
        if 'Pretrained' in str(part.get('init_cfg')):
            part['init_cfg'] = None
    return model


def train_and_predict(model: Any, size: tuple[int, int]) -> Any:
    """Build a detector, take two steps, predict, and check what came of it; return the detector."""
    detector = MODELS.build(model)
    detector.init_weights()
    detector = revert_sync_batchnorm(detector).train()  # as mmengine's runner in one process
    data = random_batch(detector, size)
    before = copy.deepcopy(detector.state_dict())
    wrapper = WatchedOptimWrapper(detector)
    hub = MessageHub.get_instance('coverage')
    for step in range(2):
        hub.update_info('iter', step)  # which some losses read
        hub.update_info('epoch', step)
        wrapper.passes.clear()
        detector.train_step(copy.deepcopy(data), wrapper)
        full, *subnets = wrapper.passes
        for index, reached in enumerate(subnets, start=1):
            missed = sorted(full - reached)
            assert not missed, f'sub-network {index} gives no gradient to {len(missed)} of {missed}'
    changed = any(not torch.equal(before[name], p) for name, p in detector.named_parameters())
    assert changed, 'the weights did not change'
    detector.eval()
    for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
        with torch.no_grad():
            (result,) = detector.test_step({'inputs': [image], 'data_samples': [sample]})
        found = {'pred_instances', 'pred_panoptic_seg'} & set(result.keys())
        assert found, f'no predictions, only {", ".join(result.keys())}'
    return detector


class WatchedOptimWrapper(OptimWrapper):
    """Notes the names of the parameters that each pass gives a gradient, in ``passes``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(torch.optim.SGD(model.parameters(), lr=1e-4), clip_grad={'max_norm': 1.0})
        self.passes: list[set[str]] = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda _, name=name: self.passes[-1].add(name))

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Begin a pass."""
        self.passes.append(set())
        super().backward(loss, **kwargs)


def report(models: dict, failures: dict, rows: list, unread: dict) -> str:
    kinds = {name: type_name(next(resnets(model))['type']) for name, model in models.items()}
    good = Counter(kinds[name] for name, reason in failures.items() if not reason)
    counts = [f'{good[k]} of {n} with a {k}' for k, n in Counter(kinds.values()).items()]
    targets, table = Counter(row[3] for row in rows), '\n'.join(map(as_row, rows))

    def reasons(of: Mapping[str, str]) -> str:
        return '\n'.join(f'- `{name}`: {reason}' for name, reason in of.items() if reason)

    return f"""# What works with the configs that mmdet ships

Written by `python tools/coverage_table.py`; do not edit.

mmgradaug {__version__}, mmdet {mmdet.__version__}, torch {torch.__version__}.

- Backbone swap: {good.total()} of {len(models)} configs ({', '.join(counts)}).
- GradAug training, one config a family: {len(rows) - targets['fails']} of {len(rows)} families; \
{targets['distilled']} of them distil, the others train sub-networks on labels.
- Configs that mmdet itself cannot read here: {len(unread)}.

## Training

Two GradAug steps (n=2, widths from 0.8, scales 0.75 and 0.5) and a prediction on generated \
images of {SIZE[0]} x {SIZE[1]} pixels, with random weights. Every loss is finite, and each \
sub-network gives a gradient to every parameter that the full network gives one to. For the \
memory's sake, RoIs, queries and padding are fewer than in mmdet's configs (`LIMITS` and `CANVAS` \
in the tool). Of a family's configs the plainest is taken that mmdet itself trains here, in a \
process of its own with {MEMORY} GiB of memory.

| family | config | detector | sub-networks learn from | remark |
|---|---|---|---|---|
{table}

## Configs that do not swap

{reasons(failures) or 'None.'}

## Configs that mmdet cannot read here

{reasons(unread) or 'None.'}
"""


def as_row(cells: Iterable[str]) -> str:
    return f'| {" | ".join(cells)} |'


def one_line(error: BaseException) -> str:
    """Return an error as a cell of a table, without folders of this machine."""
    text = str(error).partition(', the current sys.path is')[0]  # mmengine's, on failed imports
    text = re.sub(r'(^|[\s"\'(])/(?:[^\s"\'/]+/)+', r'\1', text.replace(str(MMDET), 'mmdet'))
    text = f'{type(error).__name__}: {text}'.replace('|', '/')
    return textwrap.shorten(text, 160, placeholder=' ...')


if __name__ == '__main__':
    main(ARGS)
