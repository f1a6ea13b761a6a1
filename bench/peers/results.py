"""Computes the results from the figures: medians, spreads, ratios and verdicts, as in the JSON file."""

import statistics
from collections.abc import Sequence
from typing import Any

from bench.peers.comparison import OURS, RATE, Comparison, Figure, Row, Side
from bench.peers.rounds import Run


def rows(comparisons: Sequence[Comparison], run: Run) -> list[dict[str, Any]]:
    return [
        _row(row, comparison.sides, run.figures[row.name])
        for comparison in comparisons
        for row in comparison.rows
        if OURS in run.figures.get(row.name, {})
    ]


def _row(row: Row, sides: Sequence[Side], figures: dict[str, list[Figure]]) -> dict[str, Any]:
    measured = {side.label: _side(row, side, figures[side.label]) for side in sides if side.label in figures}
    ours = measured[OURS]["median"]
    verdicts = [
        _verdict(row, ours, peer, measured[peer]["median"]) for peer in row.ratios if peer in measured
    ]
    if not row.ratios:
        verdicts = [_verdict(row, ours, "", 0.0)]
    return {"work": row.name, "unit": row.unit, "sides": measured, "verdicts": verdicts}


def _side(row: Row, side: Side, figures: list[Figure]) -> dict[str, Any]:
    values = [each.value for each in figures]
    seconds = sum(each.seconds for each in figures)
    result = {
        "settings": side.settings,
        "values": values,
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }
    if seconds:
        server = sum(each.server_cpu_seconds for each in figures)
        result |= {
            "server_cores": server / seconds,
            "client_cores": sum(each.client_cpu_seconds for each in figures) / seconds,
            "other_cores": sum(each.other_cpu_seconds for each in figures) / seconds,
        }
        if row.unit == RATE:
            messages = sum(each.value * each.seconds for each in figures)
            result["server_microseconds_per_message"] = server / messages * 1e6
    return result


def _verdict(row: Row, ours: float, peer: str, theirs: float) -> dict[str, Any]:
    """Compare mq9fast with a peer. `ratio`: how many times better it is, also where less is better."""
    target = row.ratios.get(peer)
    # The maximum is part of the target, so it is not shown for peers without a target.
    maximum = row.maximum if target or not any(row.ratios.values()) else None
    met = None if target is None and maximum is None else maximum is None or ours <= maximum
    result: dict[str, Any] = {"peer": peer, "target": target, "maximum": maximum}
    if peer:
        result["ratio"] = ours / theirs if row.unit == RATE else theirs / ours
        met = met and result["ratio"] >= target if target else met
    return result | {"met": met}
