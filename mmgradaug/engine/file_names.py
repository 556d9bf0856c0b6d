r"""Files under names that are spelt otherwise on disk than in an annotation file.

Labelling tools on Windows write ``images\0001.png``, web tools ``%20`` for a space, macOS accents
as letters of their own; some file systems do not tell ``.JPG`` from ``.jpg``.
"""

import functools
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from ..errors import suggestion


def find_file(path: str) -> str:
    """Return a path, or where nothing is there the one file that differs from it in spelling alone.

    Of several such files none is taken.
    """
    if os.path.exists(path) or '://' in path:
        return path
    found = list(_below(*_split(path)))
    return found[0] if len(found) == 1 else path


def near_file(path: str) -> str:
    """Return what is probably meant by the path of a missing file, for a message, or nothing."""
    if os.path.exists(path) or '://' in path:
        return ''
    folder, parts = _split(path)
    found = sorted(_below(folder, parts))
    if found:
        return f' (there are {" and ".join(found)}: which one is meant?)'
    names = [name for same in _names(folder).values() for name in same]
    wanted = PurePosixPath(*parts)
    near = next((n for n in names if PurePosixPath(_spelling(n)).stem == wanted.stem), None)
    if near is not None:
        return f' (did you mean {os.path.join(folder, near)!r}?)'
    return suggestion(wanted.name, names[:2000])


def _split(path: str) -> tuple[str, list[str]]:
    """Return the deepest folder of a path that is there, and the parts below, spelt plainly."""
    folder = path
    while folder and not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    rest = os.path.relpath(path, folder or '.') if path != folder else ''
    return folder, _spelling(rest).split('/')


def _below(folder: str, parts: list[str]) -> Iterator[str]:
    """Yield the files below a folder whose parts are spelt alike; a name may hold backslashes."""
    names = _names(folder)
    for count in range(1, len(parts) + 1):
        for name in names.get('/'.join(parts[:count]), ()):
            inner = os.path.join(folder, name)
            if count == len(parts):
                yield inner
            elif os.path.isdir(inner):
                yield from _below(inner, parts[count:])


def _names(folder: str) -> Mapping[str, list[str]]:
    """Return a folder's names by their plain spelling; it is listed again once it changes."""
    try:
        return _list(os.path.abspath(folder), os.stat(folder or '.').st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=4096)
def _list(folder: str, changed: int) -> Mapping[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        names.setdefault(_spelling(name), []).append(name)
    return names


def _spelling(path: str) -> str:
    """Return a path in small letters, composed, with slashes, decoded, also twice."""
    plain = unicodedata.normalize('NFC', unquote(unquote(path))).lower().replace('\\', '/')
    return '/'.join(part for part in plain.split('/') if part not in ('', '.'))
