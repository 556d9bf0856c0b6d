"""Pictures of a run inside a page: those it left, and predictions drawn now."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.utils import import_modules_from_strings

from ..classification import Classifier
from ..engine.checks import check_data
from ..type_names import class_of
from ..visualization.run_pictures import load_run, picture_predictions
from .run import Run

_SUFFIXES = ('.png', '.jpg', '.jpeg')
_REDRAWN = ('curves.png',)  # what the page's own charts show
_MOST_BESIDE = 6  # pictures in the work dir, as the demo leaves them
_MOST_LOGGED = 4  # newest ones in log folders, as mmdet's DetVisualizationHook leaves them
_MOST_BYTES = 400_000  # from which on a picture is made smaller
_MOST_WIDTH = 1400
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """A picture: what it is, and its content as a ``data:`` address."""

    title: str
    address: str


def pictures_left(run: Run) -> tuple[list[Picture], list[str]]:
    """Pictures that a run left in its folders, and notes on those that cannot be read."""
    beside = [p for p in _images(run.path.iterdir()) if p.name not in _REDRAWN][:_MOST_BESIDE]
    logged = [p for folder in run.folders for p in _images(folder.path.rglob('*'))]
    newest = sorted(logged, key=lambda path: path.stat().st_mtime)[-_MOST_LOGGED:]
    pictures, notes = [], []
    for path in [*beside, *newest]:
        title = str(path.relative_to(run.path))
        try:
            pictures.append(Picture(title, data_address(path)))
        except ValueError:
            notes.append(f'{title} cannot be read as a picture')
    return pictures, notes


def predict(run: Run, images: int, device: str) -> Picture:
    """Draw predictions of the last checkpoint on validation images.

    Args:
        run: With its config and a checkpoint.
        images: How many, from the start of the validation set.
        device: Where to compute.

    Raises:
        FileNotFoundError: If the checkpoint or the validation data is not there.
        ValueError: If there is no config, it is not of a detector, or the checkpoint cannot be
            loaded as data.
    """
    checkpoint = run.checkpoint
    if checkpoint is None:
        raise FileNotFoundError(
            f'{run.path}/last_checkpoint: expected it to name a checkpoint, for --predict'
        )
    if not run.config:
        raise ValueError(f'{run.path}: expected a config that can be read, for --predict')
    config = Config(run.config)
    if config.get('custom_imports'):
        import_modules_from_strings(**config.custom_imports)
    init_default_scope(config.get('default_scope', 'mmdet'))
    kind = class_of(config.model.get('type'), MODELS)
    if kind is not None and issubclass(kind, Classifier):
        raise ValueError(f'{run.path} is of a classifier, expected a detector for --predict')
    check_data(config, ('val',))
    with tempfile.TemporaryDirectory() as folder:
        trained = load_run(config, checkpoint, device)
        path = picture_predictions(trained, Path(folder) / 'predictions.png', images)
        return Picture(f'{checkpoint.name} on the first validation images', data_address(path))


def data_address(path: Path) -> str:
    """A picture file as a ``data:`` address; a large one smaller and as JPEG.

    Raises:
        ValueError: If it is no picture that can be read.
    """
    data, kind = path.read_bytes(), path.suffix.lower().lstrip('.').replace('jpg', 'jpeg')
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f'{path}: expected a picture')
    height, width = pixels.shape[:2]
    if len(data) > _MOST_BYTES:
        if width > _MOST_WIDTH:
            size = (_MOST_WIDTH, max(1, round(height * _MOST_WIDTH / width)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        data, kind = encoded.tobytes(), 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def _images(paths: Iterable[Path]) -> list[Path]:
    """The picture files among paths, by name; hidden ones are being written."""
    found = (p for p in paths if p.suffix.lower() in _SUFFIXES and not p.name.startswith('.'))
    return sorted(path for path in found if path.is_file())
