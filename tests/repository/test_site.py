"""The site of docs/ builds without warnings, has every page, and loads nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"]
DIRECTORIES = ["docs", "examples", "deploy", "website", "bench", "mq9fast"]
# Far longer than a busy machine takes.
MAX_SECONDS = 600
COMPILED = shutil.ignore_patterns("__pycache__", "*.so", "*.c")


def copy_sources(directory: Path) -> Path:
    """Copy what the site is made of."""
    for name in SOURCES:
        shutil.copyfile(ROOT / name, directory / name)
    for name in DIRECTORIES:
        shutil.copytree(ROOT / name, directory / name, ignore=COMPILED)
    return directory


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return copy_sources(tmp_path)


def build(clone: Path) -> subprocess.CompletedProcess[str]:
    program = clone / "website" / "build.py"
    return subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=MAX_SECONDS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = copy_sources(tmp_path_factory.mktemp("site"))
    built = build(clone)
    assert built.returncode == 0, built.stdout + built.stderr
    return clone / "build" / "website" / "site"


def test_every_page_is_in_the_site(site: Path) -> None:
    listed = re.findall(r"\]\((\S+\.md)\): \S", (site / "llms.txt").read_text())
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(listed)
    for page in listed:
        assert (site / page).read_text().startswith("# "), page
        assert (site / page).with_suffix(".html").exists(), page
    text = (site / "scenarios.html").read_text()
    assert "delete_all" in text  # the programs are on the page
    reference = (site / "reference.html").read_text()
    for name in (
        "connect_sync",
        "Mq9.send_question",
        "SyncMessage",
        "Broker.url",
        "mq9_broker",
        "WrongAction",
    ):
        assert f">{name}<" in reference, name


def test_pages_load_nothing_from_other_sites(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img)[^>]*\b(?:src|href)=\"?(https?://[^\s\">]+)", page.read_text()
        )
        assert loaded == [], page


def test_a_public_name_without_docstring_fails_the_build(clone: Path) -> None:
    with (clone / "mq9fast" / "client" / "sync" / "client.py").open("a") as module:
        module.write("\n\nclass Undocumented:\n    def method(self): ...\n")
    exports = clone / "mq9fast" / "client" / "__init__.py"
    text = exports.read_text().replace("import SyncMq9, ", "import SyncMq9, Undocumented, ")
    exports.write_text(text.replace('    "connect",\n', '    "Undocumented",\n    "connect",\n'))
    built = build(clone)
    assert built.returncode == 1
    assert "client.Undocumented," in built.stderr and "client.Undocumented.method" in built.stderr


@pytest.mark.parametrize(
    ("link", "named"),
    [("[x](missing.md)", "docs/missing.md"), ("[x](protocol.md#nowhere)", "anchor does not exist")],
)
def test_a_broken_link_fails_the_build(clone: Path, link: str, named: str) -> None:
    with (clone / "docs" / "deploy.md").open("a") as page:
        page.write(f"\n{link}\n")
    built = build(clone)
    assert built.returncode != 0
    assert named in built.stdout + built.stderr
