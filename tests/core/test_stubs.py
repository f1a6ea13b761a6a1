"""The stubs of mq9fast._core declare exactly what the compiled modules have, with the same names."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mq9fast._core

CORE = Path(mq9fast._core.__path__[0])
MODULES = sorted(".".join(path.relative_to(CORE).with_suffix("").parts) for path in CORE.rglob("*.pyx"))
# Members that every class has, or that Cython adds.
COMMON = {
    *dir(object),
    "__module__",
    "__weakref__",
    "__pyx_vtable__",
    "__setstate__",
    "__reduce_cython__",
    "__setstate_cython__",
}


def is_public(name: str) -> bool:
    return not name.startswith("_")


def stub_of(module: str) -> list[ast.stmt]:
    return ast.parse((CORE / f"{module.replace('.', '/')}.pyi").read_text()).body


def stubbed(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The declarations of a stub's module or class, by name."""
    found: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
    return found


def compiled(module: ModuleType) -> dict[str, Any]:
    """The classes, functions and constants that a compiled module defines for Python."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if is_public(name) and (getattr(thing, "__module__", None) == module.__name__ or name.isupper())
    }


CLASSES = [
    pytest.param(module, name, statement, id=name)
    for module in MODULES
    for name, statement in stubbed(stub_of(module)).items()
    if isinstance(statement, ast.ClassDef) and is_public(name)
]


def parameters(function: ast.FunctionDef) -> list[str]:
    args = function.args
    names = [arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
    return [name for name in names if name != "self"]


def test_each_module_has_a_stub_and_each_stub_a_module() -> None:
    stubs = [".".join(path.relative_to(CORE).with_suffix("").parts) for path in CORE.rglob("*.pyi")]
    assert sorted(stubs) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_stub_has_the_names_of_its_module(name: str) -> None:
    module = importlib.import_module(f"mq9fast._core.{name}")
    assert {each for each in stubbed(stub_of(name)) if is_public(each)} == set(compiled(module))


@pytest.mark.parametrize("name", MODULES)
def test_functions_have_the_parameters_of_the_stub(name: str) -> None:
    module = importlib.import_module(f"mq9fast._core.{name}")
    for statement in stub_of(name):
        if isinstance(statement, ast.FunctionDef):
            signature = inspect.signature(getattr(module, statement.name))
            assert list(signature.parameters) == parameters(statement), statement.name


@pytest.mark.parametrize(("module", "name", "stub"), CLASSES)
def test_classes_have_the_members_of_the_stub(module: str, name: str, stub: ast.ClassDef) -> None:
    cls = getattr(importlib.import_module(f"mq9fast._core.{module}"), name)
    members = {each for each in vars(cls) if each not in COMMON}
    assert set(stubbed(stub.body)) - {"__init__"} == members
    bases = [base.id for base in stub.bases if isinstance(base, ast.Name)]
    assert bases == [base.__name__ for base in cls.__bases__ if base is not object]


@pytest.mark.parametrize(("module", "name", "stub"), CLASSES)
def test_members_are_attributes_or_methods_as_in_the_stub(module: str, name: str, stub: ast.ClassDef) -> None:
    """Methods also have the parameters that the stub names."""
    cls = getattr(importlib.import_module(f"mq9fast._core.{module}"), name)
    for member_name, statement in stubbed(stub.body).items():
        if member_name == "__init__":
            continue
        member = getattr(cls, member_name)
        if not isinstance(statement, ast.FunctionDef) or statement.decorator_list:
            assert inspect.isgetsetdescriptor(member), member_name
        elif not member_name.startswith("__"):
            names = [each for each in inspect.signature(member).parameters if each != "self"]
            assert names == parameters(statement), member_name


@pytest.mark.parametrize(("module", "name", "stub"), CLASSES)
def test_classes_have_no_dict(module: str, name: str, stub: ast.ClassDef) -> None:
    """All attributes are declared in the .pxd. With a dict, a misspelt attribute would not raise."""
    cls = getattr(importlib.import_module(f"mq9fast._core.{module}"), name)
    assert issubclass(cls, Exception) or cls.__dictoffset__ == 0
