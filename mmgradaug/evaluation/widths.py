"""How precise, how large and how fast a detector or a classifier is at each width."""

import contextlib
import copy
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, EVALUATOR, init_default_scope
from mmengine.runner import Runner
from rich.progress import track
from torch.utils.data import DataLoader, Subset

from ..engine.coco_metric import exact_metrics
from ..engine.hooks.bad_images import check_loading
from .cost import count_flops, timed

# COCO's evaluator and LVIS's.
AP_NAMES = {'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP', 'bbox_AP': 'box AP', 'segm_AP': 'mask AP'}
MOST_METRICS = 3  # shown of an evaluator that gives others


@dataclass
class WidthResult:
    """What one width gives and costs."""

    width: float
    metrics: dict[str, float]
    flops: float = 0.0  # of one image; a detector's depend on how many objects it finds
    backbone_flops: float = 0.0
    parameters: int = 0  # of the whole network
    seconds: list[float] = field(default_factory=list)  # of each measured prediction of that image
    recalibration_images: int = 0  # 0 if BatchNorm statistics are those of training
    trained: bool = True  # whether the run trained this width


def shown_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return box and mask AP, or the first metrics of an evaluator that gives neither.

    COCO's evaluator gives no metric where nothing was found.
    """
    by_name = {key.split('/')[-1]: value for key, value in metrics.items()}
    precision = {label: by_name[name] for name, label in AP_NAMES.items() if name in by_name}
    return precision or dict(list(metrics.items())[:MOST_METRICS])


def shown_metrics(results: Sequence[WidthResult]) -> list[str]:
    """Return the names of the metrics to show that any of the results has, in their order."""
    return list(dict.fromkeys(name for result in results for name in shown_of(result.metrics)))


class Validation:
    """A config's evaluation data and evaluator, or a part of them.

    Args:
        cfg: The config.
        split: ``'val'`` or ``'test'``.
        images: Number of images to evaluate, evenly spread; all by default.
    """

    def __init__(self, cfg: Config, split: str = 'val', images: int | None = None) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmdet')
        loader = copy.deepcopy(cfg[f'{split}_dataloader'])
        dataset: Any = DATASETS.build(loader.pop('dataset'))
        dataset.full_init()
        check_loading(dataset)
        total = len(dataset)
        count = min(images or total, total)
        self.indices = [i * total // count for i in range(count)]
        loader['dataset'] = Subset(dataset, self.indices)
        self.loader: DataLoader = Runner.build_dataloader(loader)
        self.metainfo = dataset.metainfo
        self._image_ids = [dataset.get_data_info(i).get('img_id') for i in self.indices]
        self._metrics = cfg[f'{split}_evaluator']

    def evaluate(self, network: Any) -> dict[str, float]:
        """Return the metrics of a network, by the config's own evaluator."""
        config = exact_metrics(copy.deepcopy(self._metrics))
        if not isinstance(config, Mapping) or 'metrics' not in config:
            config = {'metrics': config}
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
            evaluator = EVALUATOR.build({'type': 'Evaluator', **config})
        evaluator.dataset_meta = self.metainfo
        for metric in evaluator.metrics:
            # mmdet's COCO metric would count the objects of all other images as missed.
            if hasattr(metric, 'img_ids'):
                metric.img_ids = self._image_ids
            if (lvis := getattr(metric, '_lvis_api', None)) is not None:  # which looks there
                lvis.imgs = {i: lvis.imgs[i] for i in self._image_ids}
        for batch in self.batches('evaluating'):
            with torch.no_grad():
                samples = network.test_step(batch)
            evaluator.process(data_samples=samples, data_batch=batch)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its tables
            metrics = evaluator.evaluate(len(self.indices))
        return {name: float(value) for name, value in metrics.items()}

    def batches(self, what: str) -> Iterable[Any]:
        """Return its batches, with a bar of progress, which would leave an empty line in a file."""
        return track(self.loader, what, transient=True, disable=not sys.stdout.isatty())


@torch.no_grad()
def measure_inference(
    networks: Sequence[Any], results: Sequence[WidthResult], validation: Validation, rounds: int
) -> None:
    """Add FLOPs, size and time of networks in evaluation mode to their results.

    Each round runs every network once on the first image, so that a noisy machine disturbs all
    alike. A first one does not count.
    """
    batch = next(iter(validation.loader))
    data = networks[0].data_preprocessor({k: v[:1] for k, v in batch.items()}, False)
    inputs = data['inputs']

    def predict(network: Any) -> float:
        samples = copy.deepcopy(data['data_samples'])
        return timed(lambda: network(inputs, samples, mode='predict'), inputs.device)[1]

    for network, result in zip(networks, results, strict=True):
        result.flops = count_flops(partial(predict, network))
        result.backbone_flops = count_flops(partial(network.backbone, inputs))
        result.parameters = sum(p.numel() for p in network.parameters())
    for index in track(range(-1, rounds), description='timing', transient=True):
        for network, result in zip(networks, results, strict=True):
            seconds = predict(network)
            if index >= 0:
                result.seconds.append(seconds)
