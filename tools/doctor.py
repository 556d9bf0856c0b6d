"""Report versions, devices and whether mmcv's operations run, with a line that fixes each fault."""

import importlib
import platform
import sys
from pathlib import Path

# Ours come from the Makefile; other environments are fixed by pip.
OURS = Path(sys.prefix).parent == Path(__file__).resolve().parents[1]
SETUP, MMCV = ('make setup', 'make mmcv') if OURS else ('install it anew', 'compile mmcv anew')
FIX = '' if OURS else ' (docs/INSTALL.md, "In an environment you have")'
PACKAGES = ('numpy', 'cv2', 'torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmgradaug')


def run_operations(device: str) -> str:
    """Return what is wrong with mmcv's nms and RoIAlign on a device, or an empty string."""
    import torch
    from mmcv.ops import nms, roi_align

    try:
        # The first box covers the second; the feature map is all ones.
        boxes = torch.tensor([[0.0, 0, 9, 9], [1, 1, 9, 9], [20, 20, 30, 30]], device=device)
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1].tolist()
        rois = torch.tensor([[0.0, 1, 1, 5, 5]], device=device)
        pooled = roi_align(torch.ones(1, 1, 8, 8, device=device), rois, (2, 2)).flatten().tolist()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return '' if (kept, pooled) == ([0, 2], [1] * 4) else f'nms {kept}, roi_align {pooled}'


def main() -> int:
    """Print the report; return 1 if something needed is broken."""
    print(f'ok    Python {platform.python_version()} in {sys.prefix}')
    for name in PACKAGES:
        try:
            print(f'ok    {name} {importlib.import_module(name).__version__}')
        except Exception as error:  # broken installations raise anything
            print(f'FAIL  {name}: {type(error).__name__}: {error}\n      fix: {SETUP}{FIX}')
            return 1
    import torch

    devices = ['cpu']
    for number in range(torch.cuda.device_count()):
        devices.append(f'cuda:{number}')
        name = torch.cuda.get_device_name(number)
        print(f'ok    GPU {number}: {name}, CUDA {torch.version.cuda}')
    faults = {device: run_operations(device) for device in devices}
    for device, fault in faults.items():
        if fault:
            toolkit = f'install the toolkit of CUDA {torch.version.cuda}, then '
            print(f"FAIL  mmcv's operations on {device}: {fault}")
            print(f'      fix: {toolkit if device != "cpu" else ""}{MMCV}{FIX}')
        else:
            print(f"ok    mmcv's operations on {device} (nms, roi_align)")
    return int(any(faults.values()))


if __name__ == '__main__':
    sys.exit(main())
