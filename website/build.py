"""Builds the documentation's site: copies docs/ and what its pages link to, and runs Zensical on the copy.

`make site` calls it. A link that leads out of docs/, such as to an example, leads to a copy of that file
below `files/`. `reference.py` writes the page of the Python API. The site also gets `llms.txt`, a list of
the pages for language models.
"""

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import Reference

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "website"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
# A line with nothing but a link to a program is followed by the program.
PROGRAM = re.compile(r"^\[[^]]*\]\((\S+\.py)\)$", re.MULTILINE)


def path_in_site(source: str) -> str:
    """The path in the site of a file or directory of the repository; both are relative, with slashes."""
    if source == "README.md":
        return "index.md"
    if source == "docs" or source.startswith("docs/"):
        return posixpath.relpath(source, "docs")
    return f"files/{source}/index.md" if (ROOT / source).is_dir() else f"files/{source}"


def pages_in_nav(entries: list[object]) -> Iterator[tuple[str, str]]:
    """Titles and paths in the navigation, in order."""
    for entry in entries:
        assert isinstance(entry, dict)
        for title, target in entry.items():
            if isinstance(target, str):
                yield title, target
            else:
                yield from pages_in_nav(target)


class Copy:
    """A copy of files of the repository in a directory of the site."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._seen: set[str] = set()
        self._waiting: list[str] = []

    def add(self, *sources: str) -> None:
        """Copy these files, and all that they link to. Raises FileNotFoundError if a link leads nowhere."""
        self._note(sources)
        while self._waiting:
            source = self._waiting.pop()
            path = self._target / path_in_site(source)
            path.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                path.write_text(self._listing(source))
            elif source.endswith(".md"):
                path.write_text(self._page(source))
            else:
                shutil.copyfile(ROOT / source, path)

    def _note(self, sources: "tuple[str, ...] | list[str]") -> None:
        new = [source for source in sources if source not in self._seen]
        self._seen.update(new)
        self._waiting.extend(new)

    def _page(self, source: str) -> str:
        text = PROGRAM.sub(lambda found: self._with_program(source, found), (ROOT / source).read_text())
        return LINK.sub(lambda found: self._link(source, found), text)

    def _with_program(self, source: str, found: re.Match[str]) -> str:
        program = (ROOT / self._resolve(source, found[1])).read_text().rstrip()
        return f"{found[0]}\n\n```python\n{program}\n```"

    def _link(self, source: str, found: re.Match[str]) -> str:
        start, link, anchor, end = found.groups()
        if ":" in link:
            return found[0]
        target = self._resolve(source, link)
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"{source} links to {target}, which does not exist")
        self._note([target])
        relative = posixpath.relpath(path_in_site(target), posixpath.dirname(path_in_site(source)))
        return f"{start}{relative}{anchor or ''}{end}"

    def _resolve(self, source: str, link: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))

    def _listing(self, source: str) -> str:
        files = sorted(path for path in (ROOT / source).iterdir() if path.is_file())
        self._note([f"{source}/{path.name}" for path in files])
        return f"# {source}\n\n" + "".join(f"- [{path.name}]({path.name})\n" for path in files)


def first_sentence(page: str) -> str:
    """The first sentence of the first paragraph of a page, in one line."""
    paragraphs = (text for text in page.split("\n\n") if text[:1].isalpha())
    text = " ".join(next(paragraphs, "").split())
    return re.split(r"(?<=[.:])\s", LINK.sub("]", text).replace("[", "").replace("]", ""))[0]


def write_llms_txt(project: dict[str, object], docs: Path, site: Path) -> None:
    """Write the list of the pages, and put their sources beside the pages."""
    nav = project["nav"]
    assert isinstance(nav, list)
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}", "", "## Pages", ""]
    for title, path in pages_in_nav(nav):
        page = (docs / path).read_text()
        lines.append(f"- [{title}]({path}): {first_sentence(page)}")
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(page)
    (site / "llms.txt").write_text("\n".join(lines) + "\n")


def main() -> int:
    """Build the site in build/website/site; returns the exit status of Zensical."""
    config = Path(__file__).with_name("zensical.toml")
    docs, site = PLACE / "docs", PLACE / "site"
    shutil.rmtree(PLACE, ignore_errors=True)
    docs.mkdir(parents=True)
    shutil.copyfile(config, PLACE / config.name)
    copy = Copy(docs)
    copy.add("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").iterdir())))
    reference = Reference(ROOT)
    if reference.undocumented:
        print("No docstring:", ", ".join(reference.undocumented), file=sys.stderr)
        return 1
    (docs / "reference.md").write_text(reference.text)
    zensical = Path(sys.executable).with_name("zensical")
    status = subprocess.run([zensical, "build", "--strict"], cwd=PLACE, check=False).returncode
    if status == 0:
        write_llms_txt(tomllib.loads(config.read_text())["project"], docs, site)
    return status


if __name__ == "__main__":
    sys.exit(main())
