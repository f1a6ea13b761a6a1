"""The programs of the guides in docs/ print what the guides say.

A guide is a page with the chapter "Connect". The Python blocks of a chapter are one program, which begins
with those of "Connect" and runs in a coroutine. The `text` blocks of the chapter are what it prints. A broker
for all chapters of a page starts with the TOML block of "Connect", if it has one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.programs import run_in_coroutine

DOCS = Path(__file__).parents[2] / "docs"
CONNECT = "Connect"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def chapters(page: str) -> dict[str, list[tuple[str, str]]]:
    """Language and text of each block of each chapter, by heading."""
    parts = re.split(r"^## (.*)\n", (DOCS / page).read_text(), flags=re.MULTILINE)[1:]
    return {heading: BLOCK.findall(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}


GUIDES = {page.name: found for page in sorted(DOCS.glob("*.md")) if CONNECT in (found := chapters(page.name))}
PROGRAMS = [
    (page, heading)
    for page, found in GUIDES.items()
    for heading, blocks in found.items()
    if heading != CONNECT and any(language == "python" for language, _ in blocks)
]


def joined(blocks: list[tuple[str, str]], language: str) -> str:
    return "".join(text for found, text in blocks if found == language)


@pytest.fixture(scope="module", params=sorted(GUIDES))
def guide(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Broker]]:
    directory = tmp_path_factory.mktemp("guide")
    config = directory / "mq9.toml"
    config.write_text(joined(GUIDES[request.param][CONNECT], "toml"))
    broker = Broker(directory / "data", "--config", str(config))
    yield request.param, broker
    broker.end()


def test_there_are_guides() -> None:
    assert len(GUIDES) >= 4
    assert len(PROGRAMS) >= 12


def test_programs_print_what_the_guide_says(guide: tuple[str, Broker]) -> None:
    page, broker = guide
    for heading in (heading for of_page, heading in PROGRAMS if of_page == page):
        blocks = GUIDES[page][heading]
        code = joined(GUIDES[page][CONNECT], "python") + joined(blocks, "python")
        ran = run_in_coroutine(code.replace("nats://127.0.0.1:4222", broker.url))
        assert (ran.returncode, ran.stdout) == (0, joined(blocks, "text")), f"{heading}: {ran.stderr}"
