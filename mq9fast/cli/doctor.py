"""`mq9fast doctor`: looks at this machine as a broker with these settings would find it."""

from typing import Any

from mq9fast.cli.broker_settings import Arguments, read
from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.status import Status
from mq9fast.config.settings import Settings


def command(arguments: Arguments = None, as_json: Json = False) -> int:
    """Check Python, the core, ports, limits, disk, clock and certificates for a broker on this machine.

    It reads the settings that `mq9fast` would read: the file, the environment, and the flags behind `--`. It
    ends with status 1 if the broker would not start.
    """
    output = Output(as_json=as_json)
    try:
        settings: Settings | None = read(arguments)[0]
        failed = None
    except CliError as error:
        settings, failed = None, error
    findings = _findings(settings, failed)
    output.table(("check", "state", "detail"), findings)
    return Status.REFUSED if any(row["state"] == "error" for row in findings) else Status.DONE


def _findings(settings: Settings | None, failed: CliError | None) -> list[dict[str, Any]]:
    from mq9fast.cli.checks import machine, ports, tls

    found = [machine.python(), *machine.core(), machine.variables()]
    if settings is None:
        found.append(machine.Finding("settings", "error", str(failed)))
        settings = Settings()
    else:
        found.append(machine.Finding("settings", "ok", "all valid"))
    found += ports.ports(settings)
    found += [machine.open_files(settings), machine.clock(), *machine.disk(settings)]
    found += tls.certificates(settings)
    return [row._asdict() for row in found]
