"""The reference of the Python API, as Markdown, from docstrings and signatures. It imports nothing of it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

INTRODUCTION = """# Python API

Each public name of the package, from its docstring. [Python client](client.md) and
[Use it in a program and in tests](embedding.md) explain how the parts work together.
"""
# Headings, and the modules whose `__all__`, or else whose own public names, follow.
MODULES = {
    "In a program": "mq9fast",
    "Client": "mq9fast.client",
    "Options of calls": "mq9fast.client.options",
    "pytest fixtures": "mq9fast.pytest_plugin",
}
# A method of the client without coroutines: it is described where the other one is.
WAITS = "waits("
MAX_LINE = 80


class Reference:
    """`text` is the page. `undocumented` names what has no docstring."""

    def __init__(self, root: Path) -> None:
        self.undocumented: list[str] = []
        self._lines = [INTRODUCTION]
        self._shown: set[str] = set()
        loader = griffe.GriffeLoader(search_paths=[root], allow_inspection=False)
        loader.load("mq9fast", submodules=True, try_relative_path=False)
        loader.resolve_aliases()
        for heading, module in MODULES.items():
            self._lines.append(f"## {heading}\n")
            for found in public_names(loader.modules_collection[module]):
                if found.path not in self._shown:
                    self._shown.add(found.path)
                    self._object(found)

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def _object(self, found: griffe.Object) -> None:
        if isinstance(found, griffe.Class):
            self._class(found)
        else:
            self._function("###", found.name, found)

    def _class(self, found: griffe.Class) -> None:
        self._lines.append(f"### {found.name}\n")
        self._docstring(found.path, found)
        fields: list[str] = []
        start = len(self._lines)
        waiting: dict[str, list[str]] = {}
        for member in public_members(found):
            if isinstance(member, griffe.Function):
                self._function("####", f"{found.name}.{member.name}", member)
            elif str(member.value).startswith(WAITS):
                of, _, name = str(member.value).removeprefix(WAITS).rstrip(")").rpartition(".")
                waiting.setdefault(of, []).append(f"`{name}`")
            elif "property" in member.labels:
                self._lines.append(f"#### {found.name}.{member.name}\n")
                self._lines.append(f"```python\n{member.name}: {member.annotation}\n```\n")
                self._docstring(member.path, member)
            elif member.annotation is not None:
                fields.append(f"- `{member.name}: {member.annotation}`")
        self._lines[start:start] = [*fields, ""] if fields else []
        for of, names in waiting.items():
            self._lines.append(f"{', '.join(names)}: as in [{of}](#{of.lower()}), but they wait.\n")

    def _function(self, level: str, title: str, function: griffe.Object) -> None:
        assert isinstance(function, griffe.Function), function.path
        self._lines.append(f"{level} {title}\n")
        for each in function.overloads or [function]:
            self._signature(each, function.name)
        self._docstring(function.path, function)

    def _signature(self, function: griffe.Function, name: str) -> None:
        kind = "async " if "async" in function.labels else ""
        self._lines.append(f"```python\n{kind}{signature(function, name)}\n```\n")

    def _docstring(self, path: str, found: griffe.Object) -> None:
        if found.docstring is None:
            self.undocumented.append(path)
        else:
            self._lines.append(f"{found.docstring.value}\n")


def signature(function: griffe.Function, name: str) -> str:
    """The call of a function, without `self`, on several lines if it is long."""
    parts: list[str] = []
    for each in function.parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and "*" not in parts:
            parts.append("*")
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
        part = stars.get(each.kind, "") + each.name
        part += f": {each.annotation}".replace('"', "") if each.annotation is not None else ""
        is_starred = each.kind in stars
        parts.append(part + (f" = {each.default}" if each.default is not None and not is_starred else ""))
    returns = f" -> {function.returns}".replace('"', "") if function.returns is not None else ""
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= MAX_LINE:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def public_names(module: griffe.Module) -> Iterator[griffe.Object]:
    own = [name for name, each in module.members.items() if not name.startswith("_") and not each.is_alias]
    names = module.exports if module.exports is not None else own
    for name in sorted(map(str, names), key=str.lower):
        found = module[name]
        target = found.final_target if isinstance(found, griffe.Alias) else found
        if isinstance(target, griffe.Class | griffe.Function):
            yield target


def public_members(found: griffe.Class) -> Iterator[griffe.Object]:
    """Methods, properties and fields, of its bases in this package too."""
    for name, member in found.all_members.items():
        target = member.final_target if isinstance(member, griffe.Alias) else member
        if not name.startswith("_") and isinstance(target, griffe.Function | griffe.Attribute):
            yield target


def main(root: Path) -> int:
    """Print the page; the exit status is 1 if a name has no docstring."""
    reference = Reference(root)
    print(reference.text)
    for path in reference.undocumented:
        print(f"{path} has no docstring", file=sys.stderr)
    return 1 if reference.undocumented else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1]))
