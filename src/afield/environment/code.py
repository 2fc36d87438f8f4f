"""What one Python file imports, read from its text; nothing is ever run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from afield.environment.tree import Weight

_CALLS = ("import_module", "__import__")
_GUARDS = ("suppress",)
_CAUGHT = frozenset(("ImportError", "ModuleNotFoundError", "Exception", "BaseException"))


class Import(NamedTuple):
    """One import: `module` begins with dots when it is relative; `names` are those taken out of it."""

    module: str
    names: tuple[str, ...]
    line: int
    weight: Weight


def imports(source: bytes) -> list[Import]:
    """The imports in a file's text, in its order. Raises SyntaxError (or ValueError) for what is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    reader = _Reader()
    reader.block(tree.body, Weight.NEEDED)
    if any(word.encode("ascii") in source for word in _CALLS):
        reader.calls(tree)
    return sorted(set(reader.found), key=lambda found: (found.line, found))


class _Reader:
    def __init__(self) -> None:
        self.found: list[Import] = []

    def block(self, body: Sequence[ast.stmt], weight: Weight) -> None:
        for statement in body:
            self.statement(statement, weight)

    def statement(self, statement: ast.stmt, weight: Weight) -> None:
        match statement:
            case ast.Import(names=names):
                self.found += [Import(alias.name, (), statement.lineno, weight) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                taken = tuple(alias.name for alias in names if alias.name != "*")
                self.found.append(Import("." * level + (module or ""), taken, statement.lineno, weight))
            case ast.If(test=test, body=body, orelse=orelse):
                inside, otherwise = _branches(test, weight)
                if inside is not None:
                    self.block(body, inside)
                self.block(orelse, otherwise)
            case ast.Try() | ast.TryStar():
                self._try(statement, weight)
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
                self.block(body, Weight.PERHAPS)
            case ast.With(items=items, body=body):
                self.block(body, Weight.PERHAPS if any(_forgives(item.context_expr) for item in items) else weight)
            case ast.Match(cases=cases):
                for case in cases:
                    self.block(case.body, Weight.PERHAPS)
            case _:
                for field in ("body", "orelse"):
                    self.block(getattr(statement, field, ()), weight)

    def _try(self, statement: ast.Try | ast.TryStar, weight: Weight) -> None:
        caught = any(_catches(handler.type) for handler in statement.handlers)
        self.block(statement.body, Weight.PERHAPS if caught else weight)
        for handler in statement.handlers:
            self.block(handler.body, Weight.PERHAPS)
        self.block(statement.orelse, Weight.PERHAPS if caught else weight)
        self.block(statement.finalbody, weight)

    def calls(self, tree: ast.Module) -> None:
        """`importlib.import_module("name")`, `__import__("name")`; a relative name without its package says little."""
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _name(function) in _CALLS:
                    if name and not name.startswith(".") and all(part.isidentifier() for part in name.split(".")):
                        self.found.append(Import(name, (), node.lineno, Weight.PERHAPS))


def _branches(test: ast.expr, weight: Weight) -> tuple[Weight | None, Weight]:
    """The weights below a condition and in its else; None for what only a type checker reads."""
    if _name(test) == "TYPE_CHECKING":
        return None, weight
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            words = {_name(left), _name(right), *(c.value for c in (left, right) if isinstance(c, ast.Constant))}
            if words >= {"__name__", "__main__"}:
                return max(weight, Weight.MAIN), weight
    return Weight.PERHAPS, Weight.PERHAPS


def _catches(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or _name(one) in _CAUGHT for one in kinds)


def _forgives(context: ast.expr) -> bool:
    return (
        isinstance(context, ast.Call)
        and _name(context.func) in _GUARDS
        and any(_name(argument) in _CAUGHT for argument in context.args)
    )


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
