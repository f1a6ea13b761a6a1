"""`mq9fast completion`: the scripts work in their shells."""

import shutil
import subprocess

import pytest

from mq9fast.cli.commands import COMMANDS
from tests.support.command import error, run


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    script = run("completion", "bash").stdout
    line = " ".join(f"'{word}'" for word in words)
    script += (
        f'\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mq9fast; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_and_flags() -> None:
    assert set(COMMANDS) <= set(completed("mq9fast", ""))
    assert completed("mq9fast", "vers") == ["version"]
    assert completed("mq9fast", "--max-pay") == ["--max-payload"]
    assert completed("mq9fast", "passwd", "--") == ["--user", "--cost"]
    assert completed("mq9fast", "version", "x") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str) -> None:
    script = run("completion", shell).stdout
    assert all(name in script for name in COMMANDS)
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_fish_gets_the_help_texts() -> None:
    lines = run("completion", "fish").stdout.splitlines()
    assert "complete -c mq9fast -n __fish_use_subcommand -f -a version -d 'Print the version.'" in lines
    assert any("-l max-payload -d 'maximum size of a message" in line for line in lines)


def test_another_shell_is_refused() -> None:
    assert "tcsh" in error("completion", "tcsh", status=2)
