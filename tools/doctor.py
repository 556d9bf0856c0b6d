"""Reports what is installed and what works, and for each fault the one line that mends it.

`make doctor` runs this file. It needs nothing but the standard library: everything that may be
broken is tried in a process of its own, in the environment that was set up. The exit status is 1 if
something needed is broken.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from environment.cuda import choose_build, describe_toolkits, find_toolkits, has_gpu
from environment.host import free_gb, missing_compilers
from environment.probe import PROBES, probe
from environment.stack import MAIN, ROOT, STOCK, Stack
from environment.stamp import cuda_here, current_fingerprint, is_current, read_stamp, stamp_file
from environment.wheels import is_for_torch


class Finding(NamedTuple):
    """One line of the report; `level` is 'ok', 'warn' (works without) or 'FAIL' (needed)."""

    level: str
    text: str
    fix: str = ''


@dataclass
class Facts:
    """What was found out about the machine, for the checks to judge.

    Attributes:
        stack: The environment that was examined.
        probes: For each of PROBES what it printed, or {'error': ...}.
        missing: (fault, fix) of each thing that compiling lacks.
    """

    stack: Stack = MAIN
    python: str = ''
    has_venv: bool = True
    stamp: dict[str, Any] = field(default_factory=dict)
    is_current: bool = True
    pins: dict[str, str] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    gpu: bool = False
    toolkits: dict[str, str] = field(default_factory=dict)
    free_gb: float = 100.0

    @property
    def rebuild(self) -> str:
        """The command that makes the environment anew."""
        return f'{self.stack.command} FORCE=1'


def collect(stack: Stack) -> Facts:
    """Finds out everything the checks need; takes some seconds, for the imports."""
    has_venv = stack.python.exists()
    stamp = read_stamp(stamp_file(stack))
    return Facts(
        stack=stack,
        python=platform.python_version(),
        has_venv=has_venv,
        stamp=stamp,
        is_current=is_current(stamp, current_fingerprint(stack), stack.python, cuda_here()),
        pins=stack.pins(),
        probes=try_all(stack) if has_venv else {},
        missing=list(missing_compilers()),
        gpu=has_gpu(),
        toolkits=find_toolkits(),
        free_gb=free_gb(ROOT),
    )


def try_all(stack: Stack) -> dict[str, dict[str, Any]]:
    """Tries every package of an environment, saying which on stderr, so that a pipe gets none."""
    found = {}
    for number, (name, code) in enumerate(PROBES.items(), start=1):
        show(f'[doctor] trying {name}, {number} of {len(PROBES)} ...')
        found[name] = probe(stack.python, code)
    show('')
    return found


def show(text: str) -> None:
    """Shows what is being done: one updating line on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def check_environment(facts: Facts) -> Iterator[Finding]:
    """The Python, the environment, and whether it is the one the lock file asks for."""
    yield Finding('ok', f'Python {facts.python}')
    if not facts.has_venv:
        yield Finding('FAIL', f'no environment at {facts.stack.folder}', facts.stack.command)
    elif not facts.stamp:
        yield Finding('FAIL', 'the set-up was not finished', facts.stack.command)
    elif not facts.is_current:
        yield Finding('warn', 'the set-up is older than its input files', facts.stack.command)
    else:
        yield Finding('ok', f'environment {facts.stack.folder} is up to date')


def check_imports(facts: Facts) -> Iterator[Finding]:
    """Each package imports, in the version that is pinned."""
    seen = set()
    for name, found in facts.probes.items():
        expected = facts.pins.get(facts.stack.distributions.get(name, name))
        version = found.get('version', '')
        if 'error' in found:
            # What imports a broken package fails with its error; mending that one is enough.
            if found['error'] in seen:
                continue
            seen.add(found['error'])
            yield Finding('FAIL', f'{name} does not import: {found["error"]}', mend(facts, name))
        elif expected and version.split('+')[0] != expected:
            text = f'{name} {version} is installed, {expected} is pinned'
            yield Finding('FAIL', text, facts.rebuild)
        else:
            yield Finding('ok', f'{name} {version}')


def mend(facts: Facts, name: str) -> str:
    """Returns the line that mends a package that does not import."""
    if name == 'mmgradaug' and 'No module' not in facts.probes[name]['error']:
        return f'{facts.stack.python} -c "import mmgradaug"  # shows where it fails'
    return facts.rebuild


def check_ops(facts: Facts) -> Iterator[Finding]:
    """mmcv's compiled ops give the right results and belong to the installed torch."""
    torch, mmcv = (facts.probes.get(name, {'error': ''}) for name in ('torch', 'mmcv'))
    if 'error' in torch or 'error' in mmcv:
        return
    entry = facts.stamp.get('mmcv', '')
    if entry and not is_for_torch(entry, torch['version']):
        text = f'mmcv was compiled for another torch than {torch["version"]}: {entry}'
        yield Finding('FAIL', text, facts.rebuild)
    on_cpu = mmcv['cuda'] == 'not available'
    yield Finding(
        'ok', f"mmcv's ops are built for {'the CPU' if on_cpu else 'CUDA ' + mmcv['cuda']}"
    )
    for device, fault in mmcv['faults'].items():
        if fault:
            fix = facts.rebuild
            if device == 'cpu' and entry:  # the cache would give the same one again
                fix = f'rm -rf {entry} && {fix}'
            yield Finding('FAIL', f"mmcv's ops fail on the {device}: {fault}", fix)
        else:
            yield Finding('ok', f"mmcv's ops work on the {device} (nms, roi_align)")


def check_gpu(facts: Facts) -> Iterator[Finding]:
    """GPUs, the CUDA toolkit, and whether torch and mmcv can use them."""
    toolkits = describe_toolkits(facts.toolkits)
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
        build = choose_build(facts.gpu, facts.toolkits, torch.get('cuda'))
        text = build.warning or "there is a GPU, but mmcv's ops are built for the CPU"
        yield Finding('warn', text, facts.stack.command)


def check_compilers(facts: Facts) -> Iterator[Finding]:
    """What the next compilation of mmcv needs; not needed once it is compiled."""
    for fault, fix in facts.missing:
        yield Finding('warn' if facts.stamp else 'FAIL', fault, fix)
    if not facts.missing:
        yield Finding('ok', 'C++ compiler and Python headers')


def check_disk(facts: Facts) -> Iterator[Finding]:
    """Room for the environment, or for checkpoints once it is there."""
    needed = 2 if facts.stamp else 12
    text = f'{facts.free_gb:.0f} GB free on the disk of {ROOT}'
    if facts.free_gb >= needed:
        yield Finding('ok', text)
    else:
        yield Finding(
            'warn',
            f'{text}, {needed} are needed',
            'pip cache purge; du -sh work_dirs/* (old runs that may go)',
        )


CHECKS = (check_environment, check_imports, check_ops, check_gpu, check_compilers, check_disk)


def diagnose(facts: Facts) -> list[Finding]:
    """Returns everything there is to say about the facts."""
    return [finding for check in CHECKS for finding in check(facts)]


def main() -> int:
    """Prints the report; returns 1 if something needed is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--stock', action='store_true', help='examine .venv-stock, not .venv')
    stack = STOCK if parser.parse_args().stock else MAIN
    findings = diagnose(collect(stack))
    for level, text, fix in findings:
        print(f'  {level:<4}  {text}' + (f'\n        mend it with:  {fix}' if fix else ''))
    failed = sum(finding.level == 'FAIL' for finding in findings)
    print(f'[doctor] faults: {failed}' if failed else '[doctor] everything needed works')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
