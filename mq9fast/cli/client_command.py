"""Commands that talk to a broker: the flags that say where it is, the connection, and errors as sentences."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.status import Status
from mq9fast.client import (
    BadContext,
    ConnectionLost,
    InvalidTicket,
    Mq9,
    Mq9Error,
    NoBroker,
    SignInFailed,
    TimedOut,
    connect,
)

_STATUSES: tuple[tuple[type[Mq9Error], Status], ...] = (
    (NoBroker, Status.NO_BROKER),
    (ConnectionLost, Status.NO_BROKER),
    (TimedOut, Status.TIMED_OUT),
    (BadContext, Status.USAGE),
    (InvalidTicket, Status.USAGE),
)
# The client's own errors about what is typed; for programs, their hints name arguments instead.
_HINTS: dict[type[Mq9Error], str] = {
    ConnectionLost: "the command may have been carried out: have a look before you run it again",
    SignInFailed: "give --user and --password, --token or --nkey, or set NATS_USER and NATS_PASSWORD",
}


def _connection(
    server: Annotated[str, typer.Option("--server", "-s", help="URL of the broker.")] = "",
    user: Annotated[str, typer.Option("--user", help="User name to sign in with.")] = "",
    password: Annotated[str, typer.Option("--password", help="Password; NATS_PASSWORD hides it.")] = "",
    token: Annotated[str, typer.Option("--token", help="Token to sign in with; NATS_TOKEN hides it.")] = "",
    nkey: Annotated[str, typer.Option("--nkey", help="File with the seed of an NKEY.")] = "",
    tls_ca: Annotated[str, typer.Option("--tls-ca", help="Certificates to trust, for TLS.")] = "",
    tls_cert: Annotated[str, typer.Option("--tls-cert", help="Certificate to show, for TLS.")] = "",
    tls_key: Annotated[str, typer.Option("--tls-key", help="Key of that certificate.")] = "",
    context: Annotated[str, typer.Option("--context", help="A context of the nats CLI, or its file.")] = "",
    patience: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the broker.")] = 10,
) -> None:
    """Flags of all commands here. What is not given comes from the environment or a context."""


def client_command(
    *, until_interrupted: bool = False, connects: bool = True
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Make a command of a coroutine function whose first parameters are the client and the output.

    `until_interrupted`: Ctrl-C is how it ends, and no failure. `connects`: whether the client is connected.
    """

    def decorate(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[2:]
        shared = list(inspect.signature(_connection).parameters.values())
        as_json = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
        named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *shared)]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            flags = {each.name: values.pop(each.name) for each in shared}
            output = Output(as_json=values.pop("as_json"))
            _run(function, output, flags, values, until_interrupted, connects)

        command.__signature__ = inspect.Signature([*named, as_json])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*named, as_json)}
        return command

    return decorate


def _run(
    function: Callable[..., Coroutine[Any, Any, None]],
    output: Output,
    flags: dict[str, Any],
    values: dict[str, Any],
    until_interrupted: bool,
    connects: bool,
) -> None:
    try:
        asyncio.run(_with_client(function, output, flags, values, connects))
    except Mq9Error as error:
        raise _failure(error) from error
    except KeyboardInterrupt:
        if not until_interrupted:
            raise


async def _with_client(
    function: Callable[..., Coroutine[Any, Any, None]],
    output: Output,
    flags: dict[str, Any],
    values: dict[str, Any],
    connects: bool,
) -> None:
    patience = flags.pop("patience")
    url = flags.pop("server")
    options = {name.removeprefix("tls_"): value for name, value in flags.items()}
    mq9 = connect(url or None, name="mq9fast CLI", timeout=patience, **options)
    async with mq9 if connects else contextlib.nullcontext():
        await function(mq9, output, **values)


def _failure(error: Mq9Error) -> CliError:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), Status.REFUSED)
    hint = _HINTS.get(type(error), error.hint)
    return CliError(_clause(str(error)), _clause(hint), status=status, code=error.code)


def _clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


__all__ = ["Mq9", "Output", "client_command"]
