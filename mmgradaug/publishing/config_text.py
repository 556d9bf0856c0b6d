"""Read the config inside a checkpoint as data, without executing it.

mmengine stores a run's config as Python source and reads it by executing it. That source has only
assignments of literals and ``dict(...)`` calls, so it can be parsed instead.
"""

import ast
import math

from mmengine.config import Config

from ..errors import ConfigError


class _Literals(ast.NodeTransformer):
    """Replaces what mmengine writes and ``ast.literal_eval`` does not know by literals."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Turn ``dict(a=1)`` and ``dict({'a b': 1})`` into ``{...}``."""
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name('dict'), [ast.Dict() as literal], []):
                return literal
            case ast.Call(ast.Name('dict'), [], keywords):
                keys: list = [k.arg and ast.Constant(k.arg) for k in keywords]  # None of `**other`
                return ast.Dict(keys, [keyword.value for keyword in keywords])
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Turn ``inf`` and ``nan`` into numbers."""
        numbers = {'inf': math.inf, 'nan': math.nan}
        return ast.Constant(numbers[node.id]) if node.id in numbers else node


def config_from_text(text: str) -> Config:
    """Return the config that ``Config.pretty_text`` wrote.

    Raises:
        ConfigError: If the text holds anything but assignments of literals.
    """
    values = {}
    try:
        for statement in _Literals().visit(ast.parse(text)).body:
            (target,) = statement.targets
            values[target.id] = ast.literal_eval(statement.value)
    except (AttributeError, ValueError, SyntaxError, TypeError, RecursionError) as error:
        raise ConfigError(
            f'the config in the checkpoint is not read ({error}), expected names with literal '
            'values: nothing is executed to read it; give the config with --config'
        ) from error
    return Config(values)
