"""Metrics under corruptions of the images, or FGSM: `tools/robustness.py CONFIG CHECKPOINT`.

Prints a table and writes `robustness.json` and, of corruptions, `robustness.png`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('checkpoint', type=Path)
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    add('--corruptions', nargs='+', metavar='NAME', help='such as fog snow (default: all 15)')
    add('--severities', type=int, nargs='+', default=[1, 2, 3, 4, 5], metavar='N')
    add('--root', type=Path, help='of ImageNet-C or CIFAR-C (default: corrupt images here)')
    text = 'attack a classifier instead, with steps of these sizes'
    add('--fgsm', type=float, nargs='*', metavar='EPSILON', help=f"{text} (default: the paper's)")
    add('--images', type=int, metavar='N', help='images to evaluate (default: all)')
    add('--width', type=float, help='of a sub-network (default: the network as it was trained)')
    add('--recalibrate', type=int, default=200, metavar='N', help='as in eval_widths.py')
    add('--out', type=Path, help='folder (default: robustness/ beside the checkpoint)')
    args = parser.parse_args(argv)
    from mmengine.device import get_device  # these take seconds, which --help need not wait for

    from mmgradaug.engine.checks import check_data
    from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors
    from mmgradaug.errors import ConfigError
    from mmgradaug.publishing.publish import cut_network
    from mmgradaug.publishing.source import Cut, open_source
    from mmgradaug.slimmable import check_width

    with one_line_errors():
        width = None if args.width is None else check_width(args.width)
        cfg = load_config(args.config, args.cfg_options)
        check_data(cfg, ('train', 'val') if width and width < 1 else ('val',))
        source = open_source(args.checkpoint, cfg)
        for option in ('fgsm', 'root'):
            if getattr(args, option) is not None and not source.is_classifier:
                raise ConfigError(f'--{option} is for classifiers, {args.config} is a detector')
        out = make_output_dir(args.out or args.checkpoint.parent / 'robustness')
        images = args.recalibrate if width and width < 1 else 0
        network = cut_network(source, Cut(width, images, 0, get_device()))
        measure = measure_corruptions if args.fgsm is None else measure_attack
        record = {**vars(args), **measure(cfg, network, args, out)}
        (out / 'robustness.json').write_text(json.dumps(record, indent=2, default=str) + '\n')
        print(out / 'robustness.json')


def measure_corruptions(cfg: Config, network: Any, args: Any, out: Path) -> dict[str, Any]:
    """Evaluate under each corruption, print and draw."""
    from mmgradaug.evaluation.corruptions import (
        ALEXNET_ERRORS,
        CorruptionResult,
        corrupted_data,
        summarise,
    )
    from mmgradaug.evaluation.widths import shown_of
    from mmgradaug.visualization.robustness import save_corruptions

    results: list[CorruptionResult] = []
    names = args.corruptions or list(ALEXNET_ERRORS)
    for name, severity, data in corrupted_data(cfg, names, args.severities, args.images, args.root):
        results.append(CorruptionResult(name, severity, data.evaluate(network)))
        if severity == 0:
            shown = shown_of(results[0].metrics)
            print(f'{" / ".join(shown) or "nothing found"}; severities {args.severities}')
        if severity in (0, args.severities[-1]):
            row = [r for r in results if r.corruption == name]
            cells = (' / '.join(f'{r.value(metric):.3f}' for metric in shown) for r in row)
            print(f'{name:<18}', *cells, sep='  ', flush=True)
    summary = summarise(results, getattr(network, 'num_classes', 0))
    for key, value in summary.items():
        values = value.items() if isinstance(value, dict) else [('', value)]
        print(f'{key:<5}', *(f'{name} {number:.3f}'.strip() for name, number in values), sep='  ')
    title = f'{Path(args.config).stem}, {args.checkpoint.name}'
    print(save_corruptions(results, out / 'robustness.png', title))
    return {**summary, 'results': [asdict(result) for result in results]}


def measure_attack(cfg: Config, network: Any, args: Any, _: Path) -> dict[str, Any]:
    """Evaluate under attack and print."""
    from mmgradaug.evaluation.adversarial import PAPER_EPSILONS, UNITS, attack
    from mmgradaug.evaluation.widths import Validation

    args.fgsm = args.fgsm or list(PAPER_EPSILONS)
    accuracies = attack(network, Validation(cfg, images=args.images).loader, args.fgsm)
    print(f'{"top-1 accuracy":<18}  clean {accuracies["clean"]:.2f}; epsilons {args.fgsm}')
    for units in UNITS:
        print(f'{units:<18}', *(f'{value:.2f}' for value in accuracies[units]), sep='  ')
    return accuracies


if __name__ == '__main__':
    main()
