"""The table of commands. It imports none of them, and no package outside the standard library.

To add a command: write a module with a function `command` that typer can run, and add a row here.
`cli/app.py` imports the module only if its command is called. `tests/cli/test_examples.py` runs the example
of every row.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    `name`: the word on the command line. `module`: the module with its function `command`. `summary`: one
    line of help. `example`: lines of shell at the end of its help, which a test runs in an empty directory
    beside a broker that `NATS_URL` names and that has the mailbox `task.queue`. `until_interrupted`: the
    command goes on until Ctrl-C.
    """

    name: str
    module: str
    summary: str
    example: str
    until_interrupted: bool = False


COMMANDS = {
    row.name: row
    for row in (Command("version", "mq9fast.cli.version", "Print the version.", "mq9fast version"),)
}


def list_commands() -> str:
    """The part of `mq9fast --help` about commands."""
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {row.name:{width}}  {row.summary}\n" for row in COMMANDS.values())
    return f"\ncommands (pip install 'mq9fast[cli]'; mq9fast COMMAND --help says more):\n{rows}"
