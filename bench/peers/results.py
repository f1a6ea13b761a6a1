"""From figures to results: medians, spreads, ratios and verdicts, as a JSON file holds them."""

import statistics
from collections.abc import Sequence
from typing import Any

from bench.peers.contest import OURS, RATE, Contest, Figure, Row, Side
from bench.peers.rounds import Run


def rows(contests: Sequence[Contest], run: Run) -> list[dict[str, Any]]:
    return [
        _row(row, contest.sides, run.figures[row.name])
        for contest in contests
        for row in contest.rows
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
        "least": min(values),
        "most": max(values),
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
    """`ratio`: how many times better ours is, also where less is better."""
    target = row.ratios.get(peer)
    # The ceiling belongs to the promise, not to peers that are there for information beside it.
    most = row.most if target or not any(row.ratios.values()) else None
    met = None if target is None and most is None else most is None or ours <= most
    result: dict[str, Any] = {"peer": peer, "target": target, "most": most}
    if peer:
        result["ratio"] = ours / theirs if row.unit == RATE else theirs / ours
        met = met and result["ratio"] >= target if target else met
    return result | {"met": met}
