"""What the pages name exists, and what exists is named."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mmgradaug.detection.distillation import DistillConfig
from mmgradaug.publishing.config_text import config_from_text
from mmgradaug.publishing.stock_config import registered_here
from mmgradaug.training import GradAugOptions, SubnetSampler
from mmgradaug.transforms import SUBNET_TRANSFORMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *ROOT.glob('docs/*.md'), ROOT / 'pretrained/README.md']
ARCHITECTURE = ROOT / 'docs/ARCHITECTURE.md'
CONFIG = ROOT / 'docs/CONFIG.md'
# What every class of mmengine, mmdet or torch takes, and their own pages tell.
OTHERS = {'self', 'args', 'kwargs', 'init_cfg', 'conv_cfg', 'norm_cfg', 'data_preprocessor'}
OTHERS |= {'module'}  # what a wrapper is put around


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = page.read_text()
    links = re.findall(r'\]\(([^)#]+)\)', text)
    local = [link for link in links if '://' not in link]
    assert all((page.parent / link).exists() for link in local), local
    named = re.findall(r'(?:configs|tools)/[\w/]+\.(?:py|sh)', text)
    assert all((ROOT / name).exists() for name in named), named


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_headings_that_are_linked_exist(page):
    links = re.findall(r'\]\(([^):]*)#([^)]+)\)', page.read_text())
    for path, anchor in links:
        target = page.parent / path if path else page
        headings = re.findall(r'^#+ (.+)$', target.read_text(), flags=re.MULTILINE)
        assert anchor in {re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page):
    assert not re.findall(r'@[A-Z_]+@|TODO|FIXME', page.read_text())


# ------------------------------------------------------------------ docs/ARCHITECTURE.md


def packages():
    """What the table of packages says of each, by its folder."""
    rows = re.findall(r'^\| `(\w+)/` \| (.+) \|$', ARCHITECTURE.read_text(), flags=re.MULTILINE)
    return dict(rows)


def test_every_package_has_its_row_and_nothing_else_has():
    folders = {path.parent.name for path in ROOT.glob('mmgradaug/*/__init__.py')}
    assert set(packages()) == folders


def test_files_that_a_row_names_are_in_its_package():
    for package, text in packages().items():
        for name in re.findall(r'`([\w/]+\.py)`', text):
            found = name.startswith('tools/') or list((ROOT / 'mmgradaug' / package).rglob(name))
            assert found, f'{package}/{name}'


def test_files_that_the_page_names_exist():
    for name in re.findall(r'\b([\w/]+\.py)\b', ARCHITECTURE.read_text()):
        places = ('', 'mmgradaug/**/', 'tools/**/')
        assert any(list(ROOT.glob(place + name)) for place in places), name


def test_packages_import_as_the_page_says():
    """Each package imports itself and those on its line alone."""
    text = ARCHITECTURE.read_text()
    (block,) = re.findall(r'Who knows whom.*?```\n(.*?)```', text, flags=re.DOTALL)
    known = allowed_imports(block)
    for package, allowed in known.items():
        for path in (ROOT / 'mmgradaug' / package).rglob('*.py'):
            for imported in imports_of(path):
                assert imported in allowed | {package, 'version'}, f'{path}: {imported}'


def allowed_imports(block):
    """The packages that each one may import, its own imports' imports among them."""
    direct = {}
    for line in block.splitlines():
        owners, _, imported = line.partition(' -> ')
        for owner in re.findall(r'\w+', owners):
            direct.setdefault(owner, set()).update(re.findall(r'\w+', imported))
    known = {}
    for owner in direct:
        reached, pending = set(), [owner]
        while pending:
            for other in direct.get(pending.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    pending.append(other)
        known[owner] = reached
    return known


def imports_of(path):
    """Packages of mmgradaug that a module imports, at its top or inside functions."""
    depth = len(path.relative_to(ROOT / 'mmgradaug').parts) - 1
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > depth:
            yield from [node.module.split('.')[0]] if node.module else [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmgradaug.'):
            yield node.module.split('.')[1]


# ------------------------------------------------------------------ docs/CONFIG.md


def table(heading):
    """The rows below a table's heading, as lists of cells."""
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
    options = {f.name: f.default for f in fields(GradAugOptions) if f.name != 'sampler'}
    known = {name: p.default for name, p in sampler.items()} | options
    assert set(rows) == {*known, 'distill'}
    assert rows.pop('transform') == 'RandomScale of 1, 0.8, 0.6, 0.4'
    assert known.pop('transform')['scales'] == [1.0, 0.8, 0.6, 0.4]
    del rows['distill']
    assert {name: ast.literal_eval(default) for name, default in rows.items()} == known


def test_every_option_of_distill_has_its_row_and_default():
    rows = {r[0].strip('`'): r[1] for r in table('| output | default | soft loss | hard loss |')}
    told = config_from_text('\n'.join(f'{name} = {default}' for name, default in rows.items()))
    assert DistillConfig.parse(told.to_dict()) == DistillConfig()
    assert list(rows) == [f.name for f in fields(DistillConfig)]


def test_every_option_of_every_class_is_named():
    """Of what a config can name as ``type``."""
    told = set(re.findall(r'\w+', ' '.join(re.findall(r'```.*?```|`[^`]+`', CONFIG.read_text(),
                                                      flags=re.DOTALL))))  # fmt: skip
    classes = registered_here() | dict(SUBNET_TRANSFORMS.module_dict)
    for name, cls in classes.items():
        if cls.__module__.startswith('mmgradaug.'):
            own = vars(cls).get('__init__')
            options = set(inspect.signature(own).parameters) if own else set()
            assert not options - OTHERS - told, f'{name}: {options - OTHERS - told}'
