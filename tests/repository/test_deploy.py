"""The files in deploy/: what they name exists in the broker, and the tools that read them accept them."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mq9fast.config.sources import load_settings
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "mq9fast.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
# Prometheus makes this one for each target.
MADE_BY_PROMETHEUS = {"up"}


def names_in(expression: str) -> set[str]:
    """The names of metrics in a PromQL expression of these files."""
    without_labels = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
    return set(re.findall(r"\b(?:mq9fast|process)_\w+|\bup\b", without_labels))


def test_every_metric_of_alerts_and_dashboard_exists(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0")
    with urllib.request.urlopen(f"{broker.monitor_url}/metrics", timeout=WAIT_SECONDS) as answer:
        exported = set(re.findall(r"^(\w+)(?:\{| )", answer.read().decode(), re.MULTILINE))
    expressions = [rule["expr"] for rule in ALERTS]
    expressions += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    for expression in expressions:
        used = names_in(expression)
        assert used, expression
        assert not used - exported - MADE_BY_PROMETHEUS, expression


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in ALERTS:
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_compose_mounts_files_that_exist() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), volume
    build = COMPOSE["services"]["broker"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).exists()
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (target,) = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target.partition(":")[0] in COMPOSE["services"]


def test_the_container_starts_the_broker_with_flags_that_exist() -> None:
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert entry is not None
    program, *flags = json.loads(entry[1])
    assert Path(program).name == "mq9fast"
    settings = load_settings(flags, {})
    assert (settings.data_dir, settings.host, settings.monitor_port) == ("/data", "0.0.0.0", 8222)


def test_the_container_has_an_empty_data_directory() -> None:
    """The broker refuses a directory with files of others, such as those of a new home."""
    (useradd,) = re.findall(r"^RUN useradd (.*)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert "--no-create-home" in useradd and "install -d -o mq9fast /data" in useradd


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "mq9fast.service").read_text()
    (command,) = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
    unit = tmp_path / "mq9fast.service"
    unit.write_text(text.replace(command, "/bin/true"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_the_broker_with_flags_that_exist(tmp_path: Path) -> None:
    text = (DEPLOY / "mq9fast.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    config = tmp_path / "mq9.toml"
    config.write_text("")
    flags = line.split()[1:]
    settings = load_settings([str(config) if flag.endswith(".toml") else flag for flag in flags], {})
    assert settings.data_dir == "/var/lib/mq9fast"
