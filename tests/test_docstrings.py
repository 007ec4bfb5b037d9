"""Docstrings of the public API are in Google style, and leave nothing out."""

import ast
import importlib

import pytest

from tests.test_site import LISTED, body


SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")


def sections(docstring):
    """Section -> the names that it lists (of Returns and Yields: none)."""
    found, current = {}, None
    for line in docstring.splitlines():
        head = line.strip().removesuffix(":")
        if line.strip().endswith(":") and head in SECTIONS:
            indent = len(line) - len(line.lstrip())
            current = found[head] = {}
        elif current is not None and line.strip():
            depth = len(line) - len(line.lstrip())
            if depth <= indent:
                current = None
            elif depth == indent + 4 and ":" in line:
                current[line.strip().split(":")[0].split(" (")[0].lstrip("*")] = True
    return found


def own(node):
    """The statements of a function, without those of functions inside it."""
    stack = list(node.body)
    while stack:
        inner = stack.pop()
        yield inner
        if not isinstance(inner, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(inner))


def raised(node):
    """Names of the exceptions that a function raises itself."""
    for inner in own(node):
        if isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call):
            if isinstance(inner.exc.func, ast.Name) and inner.exc.func.id.endswith(
                ("Error", "Faces")
            ):
                yield inner.exc.func.id


def of_function(node, kind):
    """What its docstring should have: section -> names."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments += [one for one in (node.args.vararg, node.args.kwarg) if one]
    names = {one.arg for one in arguments if not one.arg.startswith("_")} - {"self", "cls"}
    wanted = {"Args": names} if names else {}
    if errors := set(raised(node)):
        wanted["Raises"] = errors
    if kind == "property":
        return {}
    values = [inner.value for inner in own(node) if isinstance(inner, ast.Return) and inner.value]
    values = [v for v in values if not (isinstance(v, ast.Constant) and v.value is None)]
    if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in own(node)):
        wanted["Yields"] = set()
    elif values:
        wanted["Returns"] = set()
    return wanted


def decorators(node):
    return {getattr(one, "id", getattr(one, "attr", "")) for one in node.decorator_list}


def of_class(node):
    fields = {
        inner.target.id
        for inner in node.body
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name)
        and not inner.target.id.startswith("_") and "ClassVar" not in ast.unparse(inner.annotation)
    }  # fmt: skip
    return {"Attributes": fields} if fields else {}


def inherited(module, owner, name):
    """Whether a class above has the method, whose docstring then holds."""
    bases = getattr(importlib.import_module(module), owner).__mro__[1:]
    return any(name in vars(base) for base in bases)


def documented(module):
    """Public names with their nodes, and what their docstrings should have. A method that a class
    above documents needs none."""
    for node in body(module):
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, of_function(node, "")
        elif isinstance(node, ast.ClassDef):
            yield node.name, node, of_class(node)
            for inner in node.body:
                public = isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
                if public and not inherited(module, node.name, inner.name):
                    kind = "property" if decorators(inner) & {"property", "cached_property"} else ""
                    yield f"{node.name}.{inner.name}", inner, of_function(inner, kind)


def missing(module):
    for name, node, wanted in documented(module):
        docstring = ast.get_docstring(node)
        if not docstring:
            yield f"{name}: no docstring"
            continue
        found = sections(docstring)
        for section, names in wanted.items():
            if section not in found:
                yield f"{name}: no {section}"
            elif lost := sorted(names - found[section].keys()):
                yield f"{name}: {section} lacks {', '.join(lost)}"
        for section in ("Args", "Attributes"):
            if more := sorted(found.get(section, {}).keys() - wanted.get(section, set())):
                yield f"{name}: {section} has {', '.join(more)}, which it does not take"


@pytest.mark.parametrize("module", LISTED)
def test_google_style(module):
    assert not list(missing(module))
