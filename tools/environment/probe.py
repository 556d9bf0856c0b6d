"""Tries what is installed in an environment, each thing in a process of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

# The last line printed is JSON.
PROBES = {
    'torch': """
import json, torch
gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
print(json.dumps({
    'version': torch.__version__, 'cuda': torch.version.cuda,
    'gpus': [torch.cuda.get_device_name(i) for i in gpus],
    'archs': sorted({'%d.%d' % torch.cuda.get_device_capability(i) for i in gpus})}))
""",
    'torchvision': """
import json, torchvision
print(json.dumps({'version': torchvision.__version__}))
""",
    'cv2': """
import cv2, json, numpy
ok, png = cv2.imencode('.png', numpy.zeros((2, 2, 3), 'uint8'))
print(json.dumps({'version': cv2.__version__, 'works': bool(ok)}))
""",
    # Three boxes, the second covered by the first; a feature map of ones, so RoIs pool to ones.
    'mmcv': """
import json, mmcv, torch
from mmcv.ops import get_compiling_cuda_version, nms, roi_align
def try_ops(device):
    try:
        boxes = torch.tensor([[0, 0, 9, 9], [1, 1, 9, 9], [20, 20, 30, 30]]).float().to(device)
        kept = nms(boxes, torch.tensor([.9, .8, .7]).to(device), .5)[1].tolist()
        rois = torch.tensor([[0, 1., 1., 5., 5.]]).to(device)
        pooled = roi_align(torch.ones(1, 1, 8, 8).to(device), rois, (2, 2)).tolist()
        wrong = kept != [0, 2] or pooled != [[[[1, 1], [1, 1]]]]
        return f'wrong results: nms {kept}, roi_align {pooled}' if wrong else ''
    except Exception as error:
        return f'{type(error).__name__}: {error}'
devices = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
print(json.dumps({'version': mmcv.__version__, 'cuda': get_compiling_cuda_version(),
                  'faults': {device: try_ops(device) for device in devices}}))
""",
    'mmengine': 'import json, mmengine; print(json.dumps({"version": mmengine.__version__}))',
    'mmdet': 'import json, mmdet, mmdet.apis; print(json.dumps({"version": mmdet.__version__}))',
    'mmgradaug': """
import json, mmgradaug
from mmgradaug.version import __version__
print(json.dumps({'version': __version__}))
""",
}


def probe(python: Path, code: str) -> dict[str, Any]:
    """Runs code in an environment and returns the JSON it prints, or what went wrong.

    Args:
        python: The environment's interpreter.
        code: One of PROBES.

    Returns:
        What the last line printed says; {'error': ...} if there is none.
    """
    try:
        # Not in the checkout: what is to be tried is what is installed.
        result = subprocess.run(
            [str(python), '-c', code], capture_output=True, text=True, cwd='/', timeout=300
        )
        if result.returncode == 0:
            return dict(json.loads(result.stdout.splitlines()[-1]))
        lines = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
        return {'error': lines[-1]}
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return {'error': f'{type(error).__name__}: {error}'}
