"""What the pages name exists; their tables of options are those of the code."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mmgradaug.detection.distillation import DistillConfig, Target
from mmgradaug.training import GradAugOptions, SubnetSampler

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *ROOT.glob('docs/*.md'), ROOT / 'pretrained/README.md']
CONFIG = ROOT / 'docs/CONFIG.md'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = page.read_text()
    for path, anchor in re.findall(r'\]\(([^):#]*)(?:#([^)]+))?\)', text):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r'^#+ (.+)$', target.read_text(), flags=re.MULTILINE)
            anchors = {re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in headings}
            assert anchor in anchors
    named = re.findall(r'(?:configs|tools|tests)/[\w/]+\.(?:py|sh)', text)
    assert all((ROOT / name).exists() for name in named), named


def test_packages_import_as_the_page_says():
    """Each package imports itself, those on its line, and what these import."""
    text = (ROOT / 'docs/ARCHITECTURE.md').read_text()
    (block,) = re.findall(r'Who imports whom.*?```\n(.*?)```', text, flags=re.DOTALL)
    direct: dict[str, set] = {}
    for line in block.splitlines():
        owners, _, imported = line.partition(' -> ')
        for owner in re.findall(r'\w+', owners):
            direct.setdefault(owner, set()).update(re.findall(r'\w+', imported))
    folders = {path.parent.name for path in ROOT.glob('mmgradaug/*/__init__.py')}
    assert folders <= set(direct)
    for package in folders:
        allowed, pending = {package, 'version', 'errors'}, [package]
        while pending:
            new = direct.get(pending.pop(), set()) - allowed
            allowed |= new
            pending += new
        for path in (ROOT / 'mmgradaug' / package).rglob('*.py'):
            for imported in imports_of(path):
                assert imported in allowed, f'{path}: {imported}'


def imports_of(path):
    """Packages of mmgradaug that a module imports, at its top or inside functions."""
    depth = len(path.relative_to(ROOT / 'mmgradaug').parts) - 1
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > depth:
            yield from [node.module.split('.')[0]] if node.module else [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmgradaug.'):
            yield node.module.split('.')[1]


def table(heading):
    """The rows below a table's heading in CONFIG.md, as lists of cells."""
    after = CONFIG.read_text().partition(f'{heading}\n')[2].splitlines()[1:]
    rows = after[: next(i for i, line in enumerate(after) if not line.startswith('|'))]
    return [[cell.strip() for cell in row.strip('|').split(' | ')] for row in rows]


def test_recipes_of_classifiers_are_those_of_the_table():
    named = {'resnet152d_imagenet', 'resnet18_digits', 'resnet18_digits_gradaug',
             'resnet50_imagenet_droppath_constant'}  # fmt: skip
    for _, networks, methods, variations in table(
        '| table of the paper | network and data | methods | variations of `gradaug` |'
    ):
        for network in re.findall(r'`(\S+?)`', networks):
            named |= {network, *(f'{network}_{m}' for m in re.findall(r'`(\S+?)`', methods))}
            named |= {f'{network}_gradaug_{v}' for v in re.findall(r'`(\S+?)`', variations)}
    files = {path.stem for path in ROOT.glob('configs/classification/*.py')}
    assert {name for name in files if not name.endswith('_fast')} == named


def test_every_option_of_gradaug_has_its_row_and_default():
    rows = {
        name.strip('`'): default for name, default, *_ in table('| option | default | meaning |')
    }
    sampler = inspect.signature(SubnetSampler).parameters
    options = {k: v for k, v in vars(GradAugOptions.parse({})).items() if k != 'sampler'}
    known = {name: p.default for name, p in sampler.items()} | options
    assert set(rows) == {*known, 'distill'}
    assert rows.pop('transform') == 'RandomScale of 1, 0.8, 0.6, 0.4'
    assert known.pop('transform')['scales'] == [1.0, 0.8, 0.6, 0.4]
    del rows['distill']
    assert {name: ast.literal_eval(default) for name, default in rows.items()} == known


def test_every_output_has_its_row_and_those_that_soft_trains_are_marked():
    rows = [row[0].partition('` ') for row in table('| output | soft loss | hard loss |')]
    marks = {name.strip('`'): mark for name, _, mark in rows}
    trained = {f.name: getattr(DistillConfig.parse(dict(soft=0.5)), f.name)
               for f in fields(DistillConfig) if isinstance(f.default, Target)}  # fmt: skip
    assert marks == {name: '*' if target.soft else '' for name, target in trained.items()}
