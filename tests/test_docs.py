"""What the pages name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *ROOT.glob('docs/*.md'), ROOT / 'pretrained/README.md']


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = page.read_text()
    links = re.findall(r'\]\(([^)#]+)\)', text)
    local = [link for link in links if '://' not in link]
    assert all((page.parent / link).exists() for link in local), local
    named = re.findall(r'(?:configs|tools)/[\w/]+\.(?:py|sh)', text)
    assert all((ROOT / name).exists() for name in named), named


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page):
    assert not re.findall(r'@[A-Z_]+@|TODO|FIXME', page.read_text())
