"""Time of each pass, without making the GPU wait for the clock."""

from __future__ import annotations

import time

import torch


class PassTimer:
    """Stop-watch that marks the ends of passes and is read after the device has caught up.

    Args:
        device: Where the passes run. On a GPU marks are events on its stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == 'cuda'
        self._marks: list[float | torch.cuda.Event] = []
        self.mark()

    def mark(self) -> None:
        """Note that a pass ends (and the next begins) here."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Seconds between successive marks; call it only after synchronising with the device."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self._cuda:
            return [a.elapsed_time(b) / 1000 for a, b in pairs]  # type: ignore[union-attr,arg-type]
        return [b - a for a, b in pairs]  # type: ignore[operator]
