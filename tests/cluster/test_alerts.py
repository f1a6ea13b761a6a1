"""The alerts of deploy/prometheus/cluster-alerts.yml and the metrics in docs/cluster.md exist."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
METRICS = (ROOT / "mq9fast/monitoring/pages/cluster_metrics.py").read_text()
RULES = yaml.safe_load((ROOT / "deploy/prometheus/cluster-alerts.yml").read_text())["groups"][0]["rules"]


def exists(name: str) -> bool:
    return f'"{re.sub("_(total|sum|count)$", "", name)}"' in METRICS


def test_every_metric_exists() -> None:
    used = [name for rule in RULES for name in re.findall(r"mq9fast_\w+", rule["expr"])]
    used += re.findall(r"mq9fast_cluster_\w+", (ROOT / "docs/cluster.md").read_text())
    assert len(used) > 10
    assert [name for name in used if not exists(name)] == []
    assert not exists("mq9fast_cluster_of_nobody")


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
