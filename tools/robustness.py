"""Metrics on corrupted images, or under an attack: `tools/robustness.py CONFIG CHECKPOINT`.

Each network, attack and set of images has a file of results, which another call adds to.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('checkpoint', type=Path)
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    add('--corruptions', nargs='+', metavar='NAME', help='such as fog snow (default: all 15)')
    add('--severities', type=int, nargs='+', default=[1, 2, 3, 4, 5], metavar='N')
    add('--root', type=Path, help='of ImageNet-C or CIFAR-C (default: corrupt images here)')
    text = 'attack a classifier instead; steps from 0 to 1, black to white (default: .05 to .25)'
    add('--fgsm', type=float, nargs='*', metavar='EPSILON', help=text)
    add('--images', type=int, metavar='N', help='images to evaluate (default: all)')
    add('--width', type=float, help='of a sub-network (default: the network as it was trained)')
    add('--recalibrate', type=int, default=200, metavar='N', help='as in eval_widths.py')
    add('--out', type=Path, help='folder (default: robustness/ beside the checkpoint)')
    args = parser.parse_args(argv)
    from mmengine.device import get_device  # these take seconds, which --help need not wait for
    from mmengine.logging import MMLogger

    from mmgradaug.engine.atomic import write_atomically
    from mmgradaug.engine.checks import check_data
    from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors
    from mmgradaug.errors import ConfigError
    from mmgradaug.publishing.publish import cut_network
    from mmgradaug.publishing.source import Cut, open_source
    from mmgradaug.slimmable import check_width
    from mmgradaug.version import __version__

    with one_line_errors():
        MMLogger.get_current_instance().setLevel('WARNING')  # not what COCO's evaluator says
        images = args.recalibrate if args.width and check_width(args.width) < 1 else 0
        cfg = load_config(args.config, args.cfg_options)
        check_data(cfg, ('val',))
        source = open_source(args.checkpoint, cfg)
        for option in ('fgsm', 'root'):
            if getattr(args, option) is not None and not source.is_classifier:
                raise ConfigError(f'--{option} is for classifiers, {args.config} is a detector')
        args.out = make_output_dir(args.out or args.checkpoint.parent / 'robustness')
        network = cut_network(source, Cut(args.width, images, device=get_device()))
        added = ('corruptions', 'severities', 'out')  # which may differ in results of a file
        fixed = {name: value for name, value in vars(args).items() if name not in added}
        recipe = f'{cfg.to_dict()}{fixed}{args.checkpoint.stat().st_mtime_ns}{__version__}'
        name = 'robustness' if args.fgsm is None else 'fgsm'
        path = args.out / f'{name}_{hashlib.sha256(recipe.encode()).hexdigest()[:8]}.json'
        record = json.dumps(measure(cfg, network, args, path) | vars(args), indent=2, default=str)
        write_atomically(f'{record}\n'.encode(), path)
        print(path)


def measure(cfg: Config, network: Any, args: Any, path: Path) -> dict[str, Any]:
    from mmgradaug.evaluation import adversarial, corruptions, widths
    from mmgradaug.visualization.sweeps import save_corruptions

    if args.fgsm is not None:
        args.fgsm = args.fgsm or list(adversarial.PAPER_EPSILONS)
        batches = widths.Validation(cfg, images=args.images).batches('attacking')
        accuracies = adversarial.attack(network, batches, args.fgsm)
        for name, values in {'epsilon': args.fgsm, **accuracies}.items():
            print(f'{name:<18}', *(f'{value:.3f}' for value in values), sep='  ')
        return accuracies
    results: list[corruptions.CorruptionResult] = []
    options = (args.corruptions, args.severities, args.images, args.root)
    data = corruptions.corrupted_data(cfg, *options)
    for result in corruptions.evaluate_corruptions(network, data, path):
        results.append(result)
        if result.severity in (0, args.severities[-1]):
            shown = widths.shown_of(results[0].metrics)
            row = (r for r in results if r.corruption == result.corruption)
            cells = (' / '.join(f'{r.value(metric):.3f}' for metric in shown) for r in row)
            print(f'{result.corruption:<18}', *cells, sep='  ', flush=True)
    summary = corruptions.summarise(results, getattr(network, 'num_classes', 0))
    for key, values in summary.items():
        print(f'{key:<18}', *(f'{n} {value:.3f}' for n, value in values.items()), sep='  ')
    if summary['mPC']:  # a detector that finds nothing has none
        title = '/'.join(args.checkpoint.parts[-2:])  # a longer one would not fit
        print(save_corruptions(results, path.with_suffix('.png'), title))
    return {**summary, 'results': json.loads(path.read_text())['results']}


if __name__ == '__main__':
    main()
