"""Reports what is installed and what works, and for each fault the one line that mends it.

`make doctor` runs this file. It needs nothing but the standard library: everything that may be
broken is tried in a process of its own, in the project's `.venv`. The exit status is 1 if something
needed is broken.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import setup_env

REBUILD = 'make setup FORCE=1'

# Tried in `.venv`, each in its own process; the last line printed is JSON.
PROBES = {
    'torch': """
import json, torch
gpus = range(torch.cuda.device_count())
print(json.dumps({
    'version': torch.__version__, 'cuda': torch.version.cuda,
    'gpus': [torch.cuda.get_device_name(i) for i in gpus] if torch.cuda.is_available() else []}))
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
    'mmdet': 'import json, mmdet, mmdet.apis; print(json.dumps({"version": mmdet.__version__}))',
    'mmgradaug': """
import json, mmgradaug
from mmgradaug.version import __version__
print(json.dumps({'version': __version__}))
""",
}


class Finding(NamedTuple):
    """One line of the report; `level` is 'ok', 'warn' (works without) or 'FAIL' (needed)."""

    level: str
    text: str
    fix: str = ''


@dataclass
class Facts:
    """What was found out about the machine, for the checks to judge.

    Attributes:
        probes: For each of PROBES what it printed, or {'error': ...}.
        missing: (fault, fix) of each thing that compiling lacks.
    """

    python: str = ''
    has_venv: bool = True
    stamp: dict[str, str] = field(default_factory=dict)
    is_current: bool = True
    pins: dict[str, str] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    gpu: bool = False
    toolkits: dict[str, str] = field(default_factory=dict)
    free_gb: float = 100.0


def probe(code: str) -> dict[str, Any]:
    """Runs Python code in `.venv` and returns the JSON it prints, or what went wrong."""
    command = [str(setup_env.VENV_PYTHON), '-c', code]
    try:
        # Not in the checkout: what is to be tried is what is installed.
        result = subprocess.run(command, capture_output=True, text=True, cwd='/', timeout=300)
        if result.returncode == 0:
            return dict(json.loads(result.stdout.splitlines()[-1]))
        lines = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
        return {'error': lines[-1]}
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return {'error': f'{type(error).__name__}: {error}'}


def collect() -> Facts:
    """Finds out everything the checks need; takes some seconds, for the imports."""
    has_venv = setup_env.VENV_PYTHON.exists()
    stamp = setup_env.read_stamp()
    return Facts(
        python=platform.python_version(),
        has_venv=has_venv,
        stamp=stamp,
        is_current=setup_env.is_current(stamp, setup_env.current_fingerprint()),
        pins=setup_env.read_pins(setup_env.LOCK.read_text()),
        probes={name: probe(code) for name, code in PROBES.items()} if has_venv else {},
        missing=list(setup_env.missing_compilers()),
        gpu=setup_env.has_gpu(),
        toolkits=setup_env.find_toolkits(),
        free_gb=shutil.disk_usage(setup_env.ROOT).free / 1e9,
    )


def check_environment(facts: Facts) -> Iterator[Finding]:
    """The Python, the environment, and whether it is the one the lock file asks for."""
    yield Finding('ok', f'Python {facts.python}')
    if not facts.has_venv:
        yield Finding('FAIL', f'no environment at {setup_env.VENV}', 'make setup')
    elif not facts.stamp:
        yield Finding('FAIL', 'the set-up was not finished', 'make setup')
    elif not facts.is_current:
        yield Finding('warn', 'the set-up is older than its input files', 'make setup')
    else:
        yield Finding('ok', f'environment {setup_env.VENV} is up to date')


def check_imports(facts: Facts) -> Iterator[Finding]:
    """Each package imports, in the version that is pinned."""
    pinned_as = {'mmcv': 'onedl-mmcv', 'mmdet': 'onedl-mmdetection'}
    seen = set()
    for name, found in facts.probes.items():
        expected = facts.pins.get(pinned_as.get(name, name))
        version = found.get('version', '')
        if 'error' in found:
            # What imports a broken package fails with its error; mending that one is enough.
            if found['error'] in seen:
                continue
            seen.add(found['error'])
            yield Finding('FAIL', f'{name} does not import: {found["error"]}', mend(facts, name))
        elif expected and version.split('+')[0] != expected:
            text = f'{name} {version} is installed, {expected} is pinned'
            yield Finding('FAIL', text, REBUILD)
        else:
            yield Finding('ok', f'{name} {version}')


def mend(facts: Facts, name: str) -> str:
    """Returns the line that mends a package that does not import."""
    if name == 'mmgradaug' and 'No module' not in facts.probes[name]['error']:
        return '.venv/bin/python -c "import mmgradaug"  # shows where it fails'
    return REBUILD


def check_ops(facts: Facts) -> Iterator[Finding]:
    """mmcv's compiled ops give the right results and belong to the installed torch."""
    torch, mmcv = (facts.probes.get(name, {'error': ''}) for name in ('torch', 'mmcv'))
    if 'error' in torch or 'error' in mmcv:
        return
    entry = facts.stamp.get('mmcv', '')
    if entry and f'-torch{torch["version"]}-' not in entry:
        text = f'mmcv was compiled for another torch than {torch["version"]}: {entry}'
        yield Finding('FAIL', text, REBUILD)
    for device, fault in mmcv['faults'].items():
        if fault:
            fix = f'rm -rf {entry} && {REBUILD}' if device == 'cpu' and entry else REBUILD
            yield Finding('FAIL', f"mmcv's ops fail on the {device}: {fault}", fix)
        else:
            yield Finding('ok', f"mmcv's ops work on the {device} (nms, roi_align)")


def check_gpu(facts: Facts) -> Iterator[Finding]:
    """GPUs, the CUDA toolkit, and whether torch and mmcv can use them."""
    toolkits = ', '.join(f'{v} in {h}' for h, v in facts.toolkits.items()) or 'none'
    torch, mmcv = facts.probes.get('torch', {}), facts.probes.get('mmcv', {})
    built = torch.get('cuda') or 'the CPU'
    yield Finding('ok', f'CUDA toolkits: {toolkits}' + (f'; torch is for {built}' if torch else ''))
    if not facts.gpu:
        yield Finding('ok', 'no GPU: everything runs on the CPU')
        return
    yield Finding('ok', f'GPUs: {", ".join(torch.get("gpus", [])) or "seen, but not by torch"}')
    if torch.get('cuda') and not torch.get('gpus'):
        text = f'torch cannot use the GPU; its driver may be too old for CUDA {torch["cuda"]}'
        yield Finding('warn', text, 'nvidia-smi  # update the driver if it shows a lower version')
    if mmcv.get('cuda') == 'not available':
        build = setup_env.choose_build(facts.gpu, facts.toolkits, torch.get('cuda'))
        text = build.warning or "there is a GPU, but mmcv's ops are built for the CPU"
        yield Finding('warn', text, 'make setup')


def check_compilers(facts: Facts) -> Iterator[Finding]:
    """What the next compilation of mmcv needs; not needed once it is compiled."""
    for fault, fix in facts.missing:
        yield Finding('warn' if facts.stamp else 'FAIL', fault, fix)
    if not facts.missing:
        yield Finding('ok', 'C++ compiler and Python headers')


def check_disk(facts: Facts) -> Iterator[Finding]:
    """Room for the environment, or for checkpoints once it is there."""
    needed = 2 if facts.stamp else 12
    text = f'{facts.free_gb:.0f} GB free on the disk of {setup_env.ROOT}'
    if facts.free_gb >= needed:
        yield Finding('ok', text)
    else:
        yield Finding('warn', f'{text}, {needed} are needed', 'rm -rf work_dirs; pip cache purge')


CHECKS = (check_environment, check_imports, check_ops, check_gpu, check_compilers, check_disk)


def diagnose(facts: Facts) -> list[Finding]:
    """Returns everything there is to say about the facts."""
    return [finding for check in CHECKS for finding in check(facts)]


def main() -> int:
    """Prints the report; returns 1 if something needed is broken."""
    print('[doctor] trying what is installed, some seconds ...', flush=True)
    findings = diagnose(collect())
    for level, text, fix in findings:
        print(f'  {level:<4}  {text}' + (f'\n        mend it with:  {fix}' if fix else ''))
    failed = sum(finding.level == 'FAIL' for finding in findings)
    print(f'[doctor] faults: {failed}' if failed else '[doctor] everything needed works')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
