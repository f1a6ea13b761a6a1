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
    for row in (
        Command(
            "dev",
            "mq9fast.cli.dev",
            "Start a broker to try things with, and print what to paste.",
            "mq9fast dev --port 0 --data-dir ./mailboxes",
            until_interrupted=True,
        ),
        Command(
            "check-config",
            "mq9fast.cli.check_config",
            "Check the settings, and show where each comes from.",
            "echo 'port = 4300' > mq9.toml\nmq9fast check-config mq9.toml -- --sync interval",
        ),
        Command(
            "passwd",
            "mq9fast.cli.passwd",
            "Make a bcrypt hash of a password, for the TOML file.",
            "echo 'correct horse' | mq9fast passwd --user anna",
        ),
        Command(
            "doctor",
            "mq9fast.cli.doctor",
            "Check whether a broker can run well on this machine.",
            "echo 'port = 0' > mq9.toml\nmq9fast doctor mq9.toml",
        ),
        Command(
            "completion",
            "mq9fast.cli.completion",
            "Print a script that completes commands and flags.",
            "mq9fast completion bash",
        ),
        Command("version", "mq9fast.cli.version", "Print the version.", "mq9fast version"),
    )
}


def list_commands() -> str:
    """The part of `mq9fast --help` about commands."""
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {row.name:{width}}  {row.summary}\n" for row in COMMANDS.values())
    return f"\ncommands (pip install 'mq9fast[cli]'; mq9fast COMMAND --help says more):\n{rows}"
