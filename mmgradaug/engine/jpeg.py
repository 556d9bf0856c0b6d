"""JPEG files that end before their image does.

Some decoders fill up what is missing with grey, and at most print a warning. A file without the end
marker, as some cameras and scrapers leave them, may still hold every pixel; OpenCV decodes it once
the marker is added.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

START, END = b'\xff\xd8', b'\xff\xd9'
SCAN = 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # these three among them are tables
MARKER = re.compile(rb'\xff+([^\x00\xff\xd0-\xd7])', re.DOTALL)
RESTART = re.compile(rb'\xff([\xd0-\xd7])')
MORE = bytes((91 * i + 0xB6) % 251 for i in range(512))  # image data; 0xff would begin a marker


def is_cut_off(data: bytes) -> bool:
    """Whether pixels of a JPEG file are missing at its end; False for files of other kinds.

    Without the end marker the image is whole if every scan that the format asks for has begun,
    and further image data change no pixel: a decoder has read all that it needs. Two decodings
    find that out.
    """
    return lacks_end(data) and not (_has_scans(data) and _needs_none(data))


def lacks_end(data: bytes) -> bool:
    """Whether this is a JPEG file without the end marker."""
    return data[:2] == START and not has_end(data)


def has_end(data: bytes) -> bool:
    """Whether the end marker follows the image data of a JPEG file."""
    scan = next((place for marker, place, _ in _segments(data) if marker == SCAN), None)
    return scan is not None and data.find(END, scan) >= 0  # 0xff comes before 0 in image data


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Markers, places of their segments and these, in the order of the file; whole ones alone.

    Thumbnails in the header have markers of their own, so segments are stepped over by their
    lengths, and image data up to the next marker.
    """
    position = 2
    while found := MARKER.search(data, position):
        start = found.end()
        position = start + int.from_bytes(data[start : start + 2], 'big')
        if position > len(data):
            return
        yield found[1][0], start, data[start:position]


def _has_scans(data: bytes) -> bool:
    """Whether scans have begun for all bits of all 64 coefficients of every component."""
    missing: dict[int, set[int]] = {}
    for marker, _, segment in _segments(data):
        if marker in FRAMES:
            missing = {component: set(range(64)) for component in segment[8::3]}
        elif marker == SCAN and len(segment) > 7:
            *components, first, last, bits = segment[3:]
            for component in components[::2] if not bits & 0x0F else ():
                missing.get(component, set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _needs_none(data: bytes) -> bool:
    """Whether the image stays the same, bit by bit, when image data are added."""
    # Space that was set aside for a file may be filled with zeros, of which one may be the image's;
    # 0xff at the end has lost what it would belong to.
    data = data[: len(data.rstrip(b'\0')) + 1].removesuffix(b'\xff')
    scan = data.rfind(bytes([0xFF, SCAN]))
    restarts = RESTART.findall(data, scan)
    restart = bytes([0xFF, 0xD0 + (restarts[-1][0] + 1) % 8 if restarts else 0xD0])
    try:
        return bool(np.array_equal(_decoded(data), _decoded(data + MORE + restart + MORE)))
    except Exception:  # decoders raise what they like
        return False


def _decoded(data: bytes) -> np.ndarray:
    """Pixels of a JPEG file without its end marker; by Pillow, which does not print warnings."""
    with Image.open(io.BytesIO(data + END)) as image:
        return np.asarray(image)
