"""Read the config inside a checkpoint as data, without executing it.

mmengine stores a run's config as Python source and reads it by executing it. That source has only
assignments of literals and ``dict(...)`` calls, so it can be parsed instead.
"""

from __future__ import annotations

import ast
import math

from mmengine.config import Config

from ..errors import ConfigError


class _Literals(ast.NodeTransformer):
    """Replaces what mmengine writes and ``ast.literal_eval`` does not know by literals."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Turn ``dict(a=1)`` and ``dict({'a b': 1}, c=2)`` into ``{...}``; refuse other calls."""
        first = [self.visit(argument) for argument in node.args]
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not is_dict or not all(isinstance(argument, ast.Dict) for argument in first):
            raise ValueError(f'it holds {ast.unparse(node)[:80]!r}')
        keys = [key for argument in first for key in argument.keys]
        values = [value for argument in first for value in argument.values]
        for keyword in node.keywords:  # one of `**other` has no name, which literal_eval refuses
            keys.append(ast.Constant(keyword.arg) if keyword.arg else None)
            values.append(self.visit(keyword.value))
        return ast.Dict(keys, values)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Turn ``inf`` and ``nan`` into numbers."""
        numbers = {'inf': math.inf, 'nan': math.nan}
        return ast.Constant(numbers[node.id]) if node.id in numbers else node


def config_from_text(text: str) -> Config:
    """Return the config that ``Config.pretty_text`` wrote.

    Raises:
        ConfigError: If the text holds anything but assignments of literals, lists and
            dictionaries, which only executing it would read.
    """
    values = {}
    try:
        for statement in ast.parse(text).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    values[name] = ast.literal_eval(_Literals().visit(value))
                case _:
                    raise ValueError(f'it holds {ast.unparse(statement)[:80]!r}')
    except (ValueError, SyntaxError, TypeError, RecursionError) as error:
        raise ConfigError(
            f'the config in the checkpoint is not read ({error}), expected names with literal '
            'values: nothing is executed to read it; give the config with --config'
        ) from error
    return Config(values)
