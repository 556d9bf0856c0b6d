"""Read the config that a checkpoint carries, without executing it.

mmengine stores a run's config in the checkpoint as Python source, and its own reader executes
that. What mmengine writes there is only names with literal values, so those are all that is read.
"""

from __future__ import annotations

import ast
import math
from typing import Any

from mmengine.config import Config

NUMBERS = {'inf': math.inf, 'nan': math.nan}


def config_from_text(text: str) -> Config:
    """The config that ``Config.pretty_text`` wrote.

    Raises:
        ValueError: If the text holds anything but assignments of literals, lists and
            dictionaries.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise _refused(f'line {error.lineno}') from error
    values = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise _refused(ast.unparse(statement))
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise _refused(ast.unparse(statement))
        values[target.id] = _value(statement.value)
    return Config(values)


def _value(node: ast.expr) -> Any:
    """The value of a literal expression."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {_value(item) for item in node.elts}
    if isinstance(node, ast.Dict):
        return _dict(node)
    if isinstance(node, ast.Call):
        return _dict_call(node)
    if isinstance(node, (ast.Attribute, ast.Name)):
        return ast.unparse(node)  # a class, as new-style configs name them
    raise _refused(ast.unparse(node))


def _dict(node: ast.Dict) -> dict[Any, Any]:
    """The value of ``{...}``."""
    if None in node.keys:
        raise _refused(ast.unparse(node))
    pairs = zip(node.keys, node.values, strict=True)
    return {_value(key): _value(value) for key, value in pairs if key is not None}


def _dict_call(node: ast.Call) -> dict[str, Any]:
    """The value of ``dict(a=1)`` or ``dict({'a b': 1})``."""
    is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
    named = {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}
    if not is_dict or len(named) != len(node.keywords) or len(node.args) > 1:
        raise _refused(ast.unparse(node))
    positional = _value(node.args[0]) if node.args else {}
    if not isinstance(positional, dict):
        raise _refused(ast.unparse(node))
    return {**positional, **named}


def _refused(source: str) -> ValueError:
    """The error for text that would have to be executed."""
    return ValueError(
        f'the config in the checkpoint holds {source[:80]!r}, expected names with literal values: '
        'nothing is executed to read it; give the config with --config'
    )
