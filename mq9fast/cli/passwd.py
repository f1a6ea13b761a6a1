"""`mq9fast passwd`: a bcrypt hash of a password, for the TOML file."""

import getpass
import json
import sys
from typing import Annotated

import typer

from mq9fast.auth.passwords import BCRYPT_BYTES
from mq9fast.cli.errors import CliError
from mq9fast.cli.output import write
from mq9fast.cli.status import Status
from mq9fast.config.users import check_user_name
from mq9fast.errors import SettingsError


def command(
    user: Annotated[str, typer.Option(help="Print the lines of the TOML file for this user.")] = "",
    cost: Annotated[
        int, typer.Option(min=4, max=31, help="Each step doubles the time that a check takes.")
    ] = 11,
) -> None:
    """Make a bcrypt hash of a password, for `password` or `token` in the TOML file.

    It asks for the password twice, or reads the first line of standard input if that is no terminal.
    """
    import bcrypt

    try:
        check_user_name(user)
    except SettingsError as error:
        raise CliError(str(error), status=Status.USAGE) from None
    hashed = bcrypt.hashpw(_ask(), bcrypt.gensalt(cost)).decode()
    if user:
        write(f"[[users]]\nuser = {json.dumps(user, ensure_ascii=False)}\npassword = {json.dumps(hashed)}")
    else:
        write(hashed)


def _ask() -> bytes:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise CliError("the two passwords differ", status=Status.USAGE)
        given = password.encode()
    else:
        given = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not given:
        raise CliError("the password is empty", status=Status.USAGE)
    if len(given) > BCRYPT_BYTES or b"\0" in given:
        raise CliError(
            f"the password is longer than {BCRYPT_BYTES} bytes or has a NUL, which bcrypt cannot hash",
            "use a shorter one",
            status=Status.USAGE,
        )
    return given
