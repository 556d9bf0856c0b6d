"""Images of any kind as something to look at: 16 bits, floats, one channel or six."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shown = tuple[float, float]  # the values that are drawn black and white


def shown_range(values: NDArray[Any]) -> Shown:
    """Return 0 and 255 where these show an image, else nearly the lowest and highest value."""
    finite = values[np.isfinite(values)]
    # Colours that a pipeline distorts may leave their range a little.
    if not finite.size or (finite.min() >= -128 and 25 <= finite.max() <= 512):
        return 0.0, 255.0
    low, high = np.percentile(finite, (0.5, 99.5)).tolist()
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (0.0, 255.0)


def as_rgb(image: NDArray[Any], bgr: bool = True, shown: Shown | None = None) -> NDArray[np.uint8]:
    """Return an image (H, W) or (H, W, C) as RGB pixels; of other than 3 channels the first, grey.

    ``bgr`` says that three channels are blue, green, red, as mmcv loads them; ``shown`` is by
    default what :func:`shown_range` returns.
    """
    values = image.reshape(*image.shape[:2], -1)
    if values.shape[-1] != 3:
        values = values[..., :1].repeat(3, axis=-1)
    low, high = shown or shown_range(values)
    if (low, high) != (0.0, 255.0):
        values = (values.astype(np.float64) - low) * (255 / (high - low))
    pixels = np.rint(np.nan_to_num(values)).clip(0, 255).astype(np.uint8)
    return pixels[..., ::-1] if bgr else pixels


def load_image(dataset: Any, path: str) -> NDArray[Any]:
    """Read an image file by the pipeline of a data set, which may be wrapped."""
    while not hasattr(dataset, 'pipeline'):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    results: Any = {'img_path': path}
    for step in dataset.pipeline.transforms:
        results = step(results)
        if 'img' in results:
            break
    return results['img']
