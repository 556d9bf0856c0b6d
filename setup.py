"""Lets `pip install .` work with tools that ask for it; pyproject.toml says everything."""

from setuptools import setup

setup()
