"""`mq9fast doctor`: what it finds on this machine."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.command import run

FREE = ("--port", "0", "--monitor-port", "-1")


def found(*flags: str, status: int = 0, **env: str) -> dict[str, Any]:
    """The findings by check."""
    done = run("doctor", "--json", "--", *flags, **env)
    assert done.returncode == status, done
    return {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_a_machine_that_runs_these_tests_is_well(tmp_path: Path) -> None:
    rows = found(*FREE, "--data-dir", str(tmp_path / "not" / "yet"))
    assert set(rows) == {
        *("python", "packages", "variables", "settings", "port", "open files", "clock"),
        *("disk space", "disk writes"),
    }
    assert {rows[name]["state"] for name in ("python", "packages", "variables", "settings", "port")} == {"ok"}
    assert f"fsyncs a second in {tmp_path}" in rows["disk writes"]["detail"]
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_names_the_process(broker: Broker) -> None:
    row = found("--port", str(broker.port), "--monitor-port", "-1", status=1)["port"]
    assert row["state"] == "error"
    assert f"process {broker.process.pid} (" in row["detail"] and "-m mq9fast" in row["detail"]


def test_unknown_variables_and_wrong_settings_are_findings() -> None:
    rows = found(*FREE, "--sync=x", status=1, MQ9FAST_PROT="5")
    assert rows["variables"]["detail"].endswith("did you mean MQ9FAST_PORT?")
    assert rows["settings"]["state"] == "error"
    assert "one of always, interval, never" in rows["settings"]["detail"]


def test_a_full_disk_and_a_directory_that_cannot_be_written() -> None:
    rows = found(*FREE, "--min-free", str(2**62), "--data-dir", "/proc/x", status=1)
    assert rows["disk space"]["state"] == "warning"
    assert rows["disk writes"]["state"] == "error"


def test_more_connections_than_open_files() -> None:
    row = found(*FREE, "--max-connections", str(2**40))["open files"]
    assert row["state"] == "warning" and "raise `ulimit -n`" in row["detail"]


def test_certificates_end(certificates: Certificates, tmp_path: Path) -> None:
    cert, key = certificates.cert_path("server"), certificates.key_path("server")
    row = found(*FREE, "--tls-cert", cert, "--tls-key", key)["certificate"]
    assert row["state"] == "warning"  # they are made for two days
    assert "for 1 days" in row["detail"]
    row = found(*FREE, "--tls-cert", cert, "--tls-key", certificates.key_path("client"), status=1)[
        "certificate"
    ]
    assert row["state"] == "error"
    own = ("--ws-tls-cert", cert, "--ws-tls-key")
    assert "for 1 days" in found(*FREE, *own, key)["ws certificate"]["detail"]
    assert found(*FREE, *own, certificates.key_path("client"), status=1)["ws certificate"]["state"] == "error"


def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    request = ("openssl", "req", *curve, "-subj", "/CN=old", "-keyout", "old.key", "-out", "old.csr")
    sign = (
        "openssl",
        "x509",
        "-req",
        "-in",
        "old.csr",
        "-signkey",
        "old.key",
        "-days",
        "-1",
        "-out",
        "old.pem",
    )
    for command in (request, sign):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    flags = ("--tls-cert", str(tmp_path / "old.pem"), "--tls-key", str(tmp_path / "old.key"))
    row = found(*FREE, *flags)["certificate"]
    assert row["state"] == "warning" and "expired" in row["detail"]
