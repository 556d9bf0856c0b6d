"""AP or accuracy, FLOPs and time over widths: `tools/eval_widths.py CONFIG CHECKPOINT`.

Each width (`--widths 1.0 0.9 0.8`) is measured as the stock detector, or the dense classifier, that
`tools/publish.py --width` writes: BatchNorm statistics averaged over training images at that width
(those of training at width 1), then the config's own evaluator, FLOPs, and the time of one image
with all widths taken in turn.
"""

import argparse
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('checkpoint', type=Path)
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    add('--widths', type=float, nargs='+', default=[1.0, 0.9, 0.8])
    text = "training images to average BatchNorm statistics over; 0 keeps the full network's"
    add('--recalibrate', type=int, default=200, metavar='N', help=text)
    add('--images', type=int, metavar='N', help='images to evaluate (default: all)')
    add('--split', choices=('val', 'test'), default='val')
    add('--rounds', type=int, default=15, metavar='N', help='to time (default: %(default)s)')
    add('--seed', type=int, default=0, help='of the choice of training images')
    add('--out', type=Path, help='folder (default: widths/ beside the checkpoint)')
    add('--device', help='(default: a GPU if there is one)')
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f'--rounds {args.rounds}, expected 1 or more')
    import torch  # these take seconds, which --help need not wait for
    from mmengine.device import get_device

    from mmgradaug.engine.checks import check_data
    from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors, warn
    from mmgradaug.evaluation.widths import Validation, WidthResult, measure_inference, shown_of
    from mmgradaug.publishing.publish import cut_network
    from mmgradaug.publishing.source import Cut, open_source, untrained_widths
    from mmgradaug.slimmable import check_width
    from mmgradaug.visualization.sweeps import save_widths

    with one_line_errors():
        args.device = args.device or get_device()
        widths = [check_width(width) for width in args.widths]
        cfg = load_config(args.config, args.cfg_options)
        check_data(cfg, ('train', args.split) if args.recalibrate else (args.split,))
        source = open_source(args.checkpoint, cfg)
        out = make_output_dir(args.out or args.checkpoint.parent / 'widths')
        untrained = untrained_widths(source, widths)
        for width in untrained:
            warn(f'width {width:g} was never trained')
        validation = Validation(cfg, args.split, args.images)
        networks, results = [], []
        for width in widths:
            images = args.recalibrate if width < 1 else 0
            network = cut_network(source, Cut(width, images, args.seed, args.device))
            metrics, trained = validation.evaluate(network), width not in untrained
            result = WidthResult(width, metrics, recalibration_images=images, trained=trained)
            shown = [f'{name} {value:.3f}' for name, value in shown_of(result.metrics).items()]
            print(f'width {width:g}: {", ".join(shown) or "nothing found"}', flush=True)
            networks.append(network)
            results.append(result)
        measure_inference(networks, results, validation, args.rounds)
        record = {**vars(args), 'machine': platform.machine(), 'torch': torch.__version__}
        record |= {'torch_threads': torch.get_num_threads(), 'widths': [*map(asdict, results)]}
        (out / 'widths.json').write_text(json.dumps(record, indent=2, default=str) + '\n')
        title = f'{Path(args.config).stem}, {args.checkpoint.name}'
        print(f'{save_widths(results, out / "widths.png", title)}\n{out / "widths.json"}')
        print_widths(results)


def print_widths(results: Sequence[Any]) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from mmgradaug.evaluation.widths import shown_metrics, shown_of

    table = Table(title='widths (time: median of one image, quartiles)')
    names = shown_metrics(results)
    for column in ('width', *names, 'GFLOPs', 'of the backbone', 'M parameters', 'ms'):
        table.add_column(column, justify='right', overflow='fold')
    for result in results:
        low, median, high = 1e3 * np.percentile(result.seconds, (25, 50, 75))
        table.add_row(
            f'{result.width:g}' + ('' if result.trained else ' (not trained)'),
            *(f'{shown_of(result.metrics).get(name, math.nan):.3f}' for name in names),
            f'{result.flops / 1e9:.2f}',
            f'{result.backbone_flops / 1e9:.2f}',
            f'{result.parameters / 1e6:.2f}',
            f'{median:.1f} ({low:.1f} to {high:.1f})',
        )
    Console(width=110).print(table)


if __name__ == '__main__':
    main()
