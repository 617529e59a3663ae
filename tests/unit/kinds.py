"""The kinds of events that the code writes, read from its source."""

import ast
from collections.abc import Iterator


def kinds_of(module: ast.Module) -> Iterator[str]:
    """Every kind of event that the module writes: Record(kind=…) and ….record(…)."""
    for call in ast.walk(module):
        if not isinstance(call, ast.Call):
            continue
        called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if isinstance(call.func, ast.Name):
            called = call.func.id
        if called == "Record":
            given = [keyword.value for keyword in call.keywords if keyword.arg == "kind"]
        else:
            given = call.args[:1] if called == "record" else []
        for value in given:
            yield from texts_of(value, module)


def texts_of(  # noqa: PLR0912 - one case a form of writing them
    value: ast.expr, module: ast.Module
) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts_of(body, module)
            yield from texts_of(orelse, module)
        case ast.Subscript(value=ast.Name() as table):
            yield from texts_of(table, module)
        case ast.Dict(values=values):
            for one in values:
                yield from texts_of(one, module)
        case ast.Call(func=ast.Name(id=function)):
            for statement in ast.walk(module):
                if isinstance(statement, ast.FunctionDef) and statement.name == function:
                    returns = [one for one in ast.walk(statement) if isinstance(one, ast.Return)]
                    for one in returns:
                        if one.value is not None:
                            yield from texts_of(one.value, module)
        case ast.Name(id=variable):
            for statement in ast.walk(module):
                if isinstance(statement, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == variable
                    for target in statement.targets
                ):
                    yield from texts_of(statement.value, module)
