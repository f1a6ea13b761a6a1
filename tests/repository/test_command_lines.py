"""The command lines of README and docs/, in indented blocks, and files of settings: what they name exists."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from mq9fast.cli.app import options_of
from mq9fast.cli.commands import COMMANDS
from mq9fast.config.sources import load_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTRAS = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OF_EACH_COMMAND = {"--help"}


def command_lines() -> list[tuple[str, str]]:
    lines = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        prose = re.sub(r" \\\n +", " ", prose)  # a line that goes on
        for line in re.findall(r"^    (\S.*)$", prose, re.MULTILINE):
            line = re.sub(r"^MQ9FAST_TOKEN=\.\.\. ", "", line)
            # A synopsis has brackets, and a line of the log or of output has a colon or a version.
            if re.match(r"(mq9fast|pip|make|docker)( |$)", line) and not re.match(
                r"mq9fast (\[|[\d.]+ )", line
            ):
                lines.append((page.name, line))
    return lines


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_command_line_names_what_exists(page: str, line: str) -> None:
    program, *arguments = shlex.split(line.partition(" > ")[0].partition(">>")[0], comments=True)
    if program == "pip":
        named = re.findall(r"\[(\w+)\]", line)
        assert set(named) <= EXTRAS, page
        assert named or arguments[1] == "nats-py"
    elif program == "make":
        assert {each for each in arguments if "=" not in each} <= TARGETS
    elif program == "docker":
        for flag, value in itertools.pairwise(arguments):
            assert flag != "-f" or (ROOT / value).exists()
    elif arguments and arguments[0] in COMMANDS:
        flags = {each for each in arguments if each.startswith("-")}
        assert flags <= set(options_of(COMMANDS[arguments[0]])) | OF_EACH_COMMAND
    else:
        load_settings(arguments, {})


def files_of_settings() -> list[tuple[str, str]]:
    """The blocks of TOML, except that of mcp.md, which is not for the broker."""
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        if page.name != "mcp.md"
    ]


@pytest.mark.parametrize(("page", "text"), files_of_settings())
def test_file_of_settings_is_valid(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "mq9.toml"
    file.write_text(text)
    assert load_settings(["--config", str(file)], {}) != load_settings([], {}), page


def test_there_are_command_lines() -> None:
    programs = {line.split()[0] for _, line in command_lines()}
    assert programs == {"mq9fast", "pip", "make", "docker"}
    assert len(command_lines()) >= 20
