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
    beside a broker that `NATS_URL` names, whose data directory is `DATA_DIR`, and that has the mailbox
    `task.queue`. `until_interrupted`: the
    command goes on until Ctrl-C. `extra`: the extra packages of mq9fast that it needs.
    """

    name: str
    module: str
    summary: str
    example: str
    until_interrupted: bool = False
    extra: str = "cli"


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
        Command(
            "create",
            "mq9fast.cli.create",
            "Create a mailbox, renew it, or change it.",
            "mq9fast create status.worker1 --ttl 1h --max-messages 1 --discard old",
        ),
        Command(
            "send",
            "mq9fast.cli.send",
            "Store messages in a mailbox.",
            'echo \'{"task": "build"}\' | mq9fast send task.queue - --priority urgent',
        ),
        Command(
            "ask",
            "mq9fast.cli.ask",
            "Send a question, and wait for its answer.",
            "mq9fast ask task.queue 'how far are you?' --no-wait",
        ),
        Command(
            "watch",
            "mq9fast.cli.watch",
            "Print messages, or let a program work on them.",
            "mq9fast send task.queue 'hello'\nmq9fast watch task.queue --exec 'tr a-z A-Z' --count 1",
        ),
        Command(
            "list",
            "mq9fast.cli.list_",
            "List the messages of a mailbox, or the mailboxes.",
            "mq9fast send task.queue 'hello'\nmq9fast list task.queue --limit 5",
        ),
        Command(
            "delete",
            "mq9fast.cli.delete",
            "Delete messages.",
            "mq9fast delete task.queue $(mq9fast send task.queue 'a mistake')",
        ),
        Command(
            "inbox",
            "mq9fast.cli.inbox",
            "Decide requests for approval in the terminal.",
            "mq9fast create approver.zhang\nmq9fast inbox approver.zhang",
        ),
        Command("stats", "mq9fast.cli.stats", "Show what is known of mailboxes.", "mq9fast stats task.queue"),
        Command(
            "top",
            "mq9fast.cli.top",
            "Show mailboxes and their traffic, again and again.",
            "mq9fast top task.queue --interval 1s",
            until_interrupted=True,
        ),
        Command(
            "backup",
            "mq9fast.cli.backup",
            "Copy a data directory, also of a running broker, and verify the copy.",
            "mq9fast backup ./monday --data-dir $DATA_DIR",
        ),
        Command(
            "restore",
            "mq9fast.cli.restore",
            "Verify a backup, and make a data directory of it.",
            "mq9fast backup ./monday --data-dir $DATA_DIR\nmq9fast restore ./monday ./restored",
        ),
        Command(
            "check",
            "mq9fast.cli.check",
            "Say what a data directory holds, and what is wrong with it.",
            "mq9fast backup ./monday --data-dir $DATA_DIR\nmq9fast check ./monday",
        ),
        Command(
            "salvage",
            "mq9fast.cli.salvage",
            "Copy what can be read of a damaged data directory.",
            "mq9fast backup ./monday --data-dir $DATA_DIR\nmq9fast salvage ./monday ./salvaged",
        ),
        Command(
            "mcp",
            "mq9fast.cli.mcp",
            "Give a language model mailboxes, by the Model Context Protocol.",
            """echo '{"jsonrpc": "2.0", "id": 1, "method": "ping"}' | mq9fast mcp agent.writer""",
            extra="mcp",
        ),
        Command(
            "cluster",
            "mq9fast.cli.cluster",
            "Run one node of a cluster, or show its nodes.",
            "mq9fast cluster start --name n1 --peers n1,n2,n3 --port 14222",
            until_interrupted=True,
            extra="cluster",
        ),
        Command("version", "mq9fast.cli.version", "Print the version.", "mq9fast version"),
    )
}


def list_commands() -> str:
    """The part of `mq9fast --help` about commands."""
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {row.name:{width}}  {row.summary}\n" for row in COMMANDS.values())
    return f"\ncommands (pip install 'mq9fast[cli]'; mq9fast COMMAND --help says more):\n{rows}"
