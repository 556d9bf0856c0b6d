"""The paper's figures, of your checkpoints and images: `tools/figures.py cam|detections|sweep`.

`cam CONFIG PLAIN GRADAUG`: class activation maps (Figure 1) of each checkpoint, and of sub-networks
of the last. `detections CONFIG PLAIN GRADAUG`: what detectors find in the same images. Plain
checkpoints fit GradAug's config. `sweep`: accuracy over number and smallest width of sub-networks
(Figure 2), and what they cost, from the records of `tools/repro.py run Fig2 T3/wrn28-10/baseline`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    cam = commands.add_parser('cam', help='where classifiers see a class')
    text = "of sub-networks (default: gradaug's min_width)"
    cam.add_argument('--widths', type=float, nargs='*', help=text)
    text = 'training images for their BatchNorm statistics (default: %(default)s)'
    cam.add_argument('--recalibrate', type=int, default=200, metavar='N', help=text)
    found = commands.add_parser('detections', help='what detectors find')
    found.add_argument('--score', type=float, default=0.5, help='the least that is drawn')
    sweep = commands.add_parser('sweep', help='accuracy and cost over n and smallest width')
    ids = ['Fig2', 'T3/wrn28-10/baseline']
    text = f'rows (default: {" ".join(ids)})'
    sweep.add_argument('ids', nargs='*', default=ids, metavar='ID', help=text)
    sweep.add_argument('--records', type=Path, nargs='+', help='(default: docs/results/*.jsonl)')
    for command in (cam, found, sweep):
        command.add_argument('--out', type=Path, default=Path('work_dirs/figures'), help='folder')
    for add in (cam.add_argument, found.add_argument):
        add('config', help='a config file')
        add('checkpoints', type=Path, nargs='+', metavar='CHECKPOINT')
        add('--images', type=Path, nargs='+', default=[], help='(default: of the validation)')
    args = parser.parse_args(argv)
    from mmgradaug.engine.cli import make_output_dir, one_line_errors  # takes seconds

    with one_line_errors():
        path = make_output_dir(args.out) / f'{args.command}.png'
        print(draw_sweep(args, path) if args.command == 'sweep' else draw_networks(args, path))


def draw_networks(args: argparse.Namespace, path: Path) -> Path:
    from mmengine.registry import DATASETS, init_default_scope

    from mmgradaug.engine.checks import check_data
    from mmgradaug.engine.cli import load_config
    from mmgradaug.errors import ConfigError
    from mmgradaug.publishing.source import Cut, load_trained_model, open_source
    from mmgradaug.slimmable import has_slimmable_layers
    from mmgradaug.training import GradAugOptions
    from mmgradaug.visualization.canvas import save_figure
    from mmgradaug.visualization.class_activation import save_activation_maps
    from mmgradaug.visualization.predictions import picture_predictions

    cfg, networks = load_config(args.config), {}
    if missing := [str(file) for file in args.images if not file.is_file()]:
        raise ConfigError(f'--images {missing[0]} is no file, expected an image')
    check_data(cfg, () if args.images else ('val',))
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    loaders = (cfg.get(f'{loop}_dataloader') for loop in ('val', 'test', 'train'))
    data = next(filter(None, loaders)).dataset
    of_data = DATASETS.build({**data, 'lazy_init': True})  # reads nothing
    drawn = [(path, Cut()) for path in args.checkpoints]
    sampler = GradAugOptions.parse(cfg.model.get('gradaug') or {'num_subnets': 0}).sampler
    least = [sampler.min_width] if sampler.num_subnets and sampler.min_width < 1 else []
    widths = vars(args).get('widths', ())
    for width in least if widths is None else widths:
        drawn.append((args.checkpoints[-1], Cut(width, args.recalibrate)))
    for checkpoint, cut in drawn:
        source = open_source(checkpoint, cfg)
        if source.is_classifier != (args.command == 'cam'):
            raise ConfigError(f'{checkpoint}: cam is for classifiers, detections for detectors')
        model = load_trained_model(source, cut)[0]
        if cut.width and not has_slimmable_layers(model):
            raise ConfigError(f'--widths {cut.width}, but {args.config} has no slimmable backbone')
        meta = source.meta.get('dataset_meta') or of_data.metainfo
        model.dataset_meta = {key.lower(): value for key, value in meta.items()}  # mmdet 3.0rc's
        name = f'{checkpoint.parent.name}\n{checkpoint.stem}'
        name += f'\nwidth {cut.width:g}' if cut.width else ''
        networks[str(checkpoint) if name in networks else name] = model, cut.width or 1.0
    if args.command == 'cam':
        return save_activation_maps(networks, cfg, path, files=args.images)
    detectors = {name.replace('\n', ' '): model for name, (model, _) in networks.items()}
    return save_figure(picture_predictions(cfg, detectors, 4, args.score, '', args.images), path)


def draw_sweep(args: argparse.Namespace, path: Path) -> Path:
    from mmgradaug.reproduction.rows import read_records, read_rows, read_sweep, select_rows
    from mmgradaug.visualization.sweeps import save_sweep

    rows = select_rows(read_rows(), args.ids)
    records = read_records(args.records or sorted(Path('docs/results').glob('*.jsonl')))
    return save_sweep(read_sweep(rows, records), path, rows[0].metrics.split()[0])


if __name__ == '__main__':
    main()
