"""Fetch a microscopy image with labelled nuclei and write it as a COCO data set of tiles.

The image is read out of the wheel stardist==0.9.2 (BSD-3-Clause), which pip downloads (3 MB) and
which is not installed. Does nothing where the data set is complete. Without a network,
tools/make_shapes.py generates a data set instead.
"""

import argparse


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/nuclei', help='folder (default: %(default)s)')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import make_nuclei  # these take seconds, which --help need not wait for
    from mmgradaug.engine.cli import one_line_errors

    with one_line_errors():
        root = make_nuclei(args.out)
    print(f'nuclei: 12 training and 4 validation tiles in {root} (source, licence: README.txt)')


if __name__ == '__main__':
    main()
