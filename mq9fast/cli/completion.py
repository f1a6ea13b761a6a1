"""`mq9fast completion`: a script that lets a shell complete commands and flags.

The script holds all names, so that completing starts no program. Make it again after an upgrade.
"""

from enum import Enum
from typing import Annotated

import typer

from mq9fast.cli.app import options_of
from mq9fast.cli.commands import COMMANDS
from mq9fast.cli.output import write
from mq9fast.config.flag_parser import server_flags


class Shell(str, Enum):
    """The shells that have a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


BASH = """\
_mq9fast() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{first}" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _mq9fast mq9fast"""
ZSH = """\
#compdef mq9fast
autoload -Uz bashcompinit && bashcompinit
{bash}"""


def command(shell: Annotated[Shell, typer.Argument(help="The shell.", show_choices=True)]) -> None:
    """Print a script that lets a shell complete commands and flags.

    bash and zsh: `eval "$(mq9fast completion bash)"` in ~/.bashrc, with zsh in ~/.zshrc. fish: write it to
    ~/.config/fish/completions/mq9fast.fish.
    """
    flags = {name: options_of(row) for name, row in COMMANDS.items()}
    if shell is Shell.FISH:
        write("\n".join(_fish(flags)))
        return
    script = _bash(flags)
    write(script if shell is Shell.BASH else ZSH.format(bash=script))


def _bash(flags: dict[str, dict[str, str]]) -> str:
    cases = "\n".join(f'    {name}) words="{" ".join(options)}" ;;' for name, options in flags.items())
    return BASH.format(cases=cases, first=" ".join((*COMMANDS, *server_flags())))


def _fish(flags: dict[str, dict[str, str]]) -> list[str]:
    first = "complete -c mq9fast -n __fish_use_subcommand"
    lines = [f"{first} -f -a {row.name} -d {_quoted(row.summary)}" for row in COMMANDS.values()]
    lines += [f"{first} -l {flag[2:]} -d {_quoted(text)}" for flag, text in server_flags().items()]
    for name, options in flags.items():
        seen = f"complete -c mq9fast -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{seen} -l {flag[2:]} -d {_quoted(text)}" for flag, text in options.items()]
    return lines


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
