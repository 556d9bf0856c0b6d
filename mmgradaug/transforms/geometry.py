"""Where a transformed image's pixels, boxes, box deltas and mask grids come from.

Every transform is some quarter turns followed by a rescaling; a chain of them is again one.
Coordinates are continuous: the left edge of the first pixel is 0, the right edge of the last one is
the image's width, so resizing multiplies them by the ratio of the real sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Size = tuple[int, int]


@dataclass(frozen=True)
class GeometricMap:
    """Maps what belongs to an image to its transformed copy."""

    in_size: Size  # height and width of the original batch, in pixels
    out_size: Size  # of the transformed batch
    turns: int = 0  # counter-clockwise quarter turns, 0 to 3, made before the resizing

    @property
    def turned_size(self) -> Size:
        """Height and width after the turns, before the resizing."""
        return self.in_size[::-1] if self.turns % 2 else self.in_size

    @property
    def scale(self) -> tuple[float, float]:
        """Factors (x, y) of the resizing, which follows the turns."""
        (height, width), (out_height, out_width) = self.turned_size, self.out_size
        return out_width / width, out_height / height

    def then(self, other: GeometricMap) -> GeometricMap:
        """Return the map that applies this one and then ``other``, which starts where it ends."""
        return GeometricMap(self.in_size, other.out_size, (self.turns + other.turns) % 4)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Map boxes (..., 4) of (x1, y1, x2, y2) in pixels."""
        x1, y1, x2, y2 = turn_boxes(boxes, self.in_size, self.turns).unbind(-1)
        sx, sy = self.scale  # numbers, since a tensor of them would have to go to the GPU first
        return torch.stack([x1 * sx, y1 * sy, x2 * sx, y2 * sy], dim=-1)

    def rois(self, rois: Tensor) -> Tensor:
        """Map RoIs (N, 5) of (image index, x1, y1, x2, y2)."""
        return torch.cat([rois[:, :1], self.boxes(rois[:, 1:])], dim=1)

    def source_points(self, points: Tensor) -> Tensor:
        """Map points (..., 2) of (x, y) in the transformed copy back to the original."""
        sx, sy = self.scale
        unscaled = points / points.new_tensor([sx, sy])
        back = turn_boxes(torch.cat([unscaled, unscaled], -1), self.turned_size, -self.turns % 4)
        return back[..., :2]

    def deltas(self, deltas: Tensor) -> Tensor:
        """Map box deltas (..., 4) of (dx, dy, dw, dh), relative to boxes that move along.

        Rescaling leaves them as they are. The coder's means must be zero and its standard
        deviations equal in x and y where the map turns.
        """
        dx, dy, dw, dh = deltas.unbind(-1)
        for _ in range(self.turns):
            dx, dy, dw, dh = dy, -dx, dh, dw
        return torch.stack([dx, dy, dw, dh], dim=-1)

    def sides(self, values: Tensor, dim: int) -> Tensor:
        """Turn one value a side of a box (left, top, right, bottom) along a dimension of four.

        Rescaling leaves them as they are; what is in pixels has to be multiplied by ``scale``.
        """
        return values.roll(-self.turns, dim) if self.turns else values

    def grids(self, grids: Tensor) -> Tensor:
        """Map grids (..., h, w) that lie on boxes that move along, such as mask logits."""
        return torch.rot90(grids, self.turns, (-2, -1)) if self.turns else grids


def turn_boxes(boxes: Tensor, size: Size, turns: int) -> Tensor:
    """Turn boxes (..., 4) with an image of ``size`` (height, width) counter-clockwise."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    for _ in range(turns):
        x1, y1, x2, y2 = y1, width - x2, y2, width - x1
        height, width = width, height
    return torch.stack([x1, y1, x2, y2], dim=-1)
