"""Results as Markdown: the table of verdicts, then the details of each figure."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.peers.comparison import BYTES, MICROSECONDS, OURS, RATE

HEADS = [
    "work",
    "mq9fast",
    "peer",
    "peer's figure",
    "ratio",
    "target",
    "met",
    "mq9fast settings",
    "peer settings",
]
DETAILS = [
    "work",
    "server",
    "median",
    "min to max",
    "rounds",
    "server CPU",
    "per message",
    "client CPU",
    "others",
]


def markdown(results: dict[str, Any]) -> str:
    return "\n".join([*_head(results), "", *_verdicts(results["rows"]), "", *_details(results), ""])


def value(number: float, unit: str) -> str:
    if unit == RATE:
        return f"{number:,.0f}/s"
    if unit == MICROSECONDS:
        return f"{number:,.0f} µs" if number < 10_000 else f"{number / 1000:,.0f} ms"
    if unit == BYTES:
        return _bytes(number)
    return f"{number:.2f} s"


def _bytes(number: float) -> str:
    if number < 10_000:
        return f"{number:,.0f} B"
    return f"{number / 1e3:,.0f} kB" if number < 1e6 else f"{number / 1e6:,.0f} MB"


def _head(results: dict[str, Any]) -> Iterator[str]:
    yield f"# mq9fast beside its peers, {results['date']}"
    yield ""
    yield f"Commit {results['commit']}; medians of {results['rounds']} alternating rounds with fresh servers."
    yield "A ratio says how many times better mq9fast is, also where less is better. Only ratios can be"
    yield "compared with those of another machine."
    if results["scale"] != 1:
        yield f"A quick run with {results['scale']:.0%} of everything: only to check that rows work."
    yield ""
    for name, text in (results["machine"] | results["versions"]).items():
        yield f"- {name}: {text}"
    for name, reason in results["skipped"].items():
        yield f"- {name} was skipped: {reason}"
    for failure in results["failures"]:
        yield f"- a round failed: {failure}"


def _verdicts(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from table_head(HEADS)
    for row in rows:
        for verdict in row["verdicts"]:
            yield table_line(_verdict_cells(row, verdict))


def _verdict_cells(row: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    ours, theirs = row["sides"][OURS], row["sides"].get(verdict["peer"])
    met = {True: "yes", False: "**no**", None: ""}[verdict["met"]]
    return [
        row["work"],
        value(ours["median"], row["unit"]),
        verdict["peer"],
        value(theirs["median"], row["unit"]) if theirs else "",
        f"{verdict['ratio']:.2f}×" if theirs else "",
        _target(row["unit"], verdict),
        met,
        ours["settings"],
        theirs["settings"] if theirs else "",
    ]


def _target(unit: str, verdict: dict[str, Any]) -> str:
    parts = []
    if ratio := verdict.get("target"):
        not_worse = "not slower" if unit != BYTES else "less"
        parts.append(not_worse if ratio == 1.0 else f"{ratio:.1f}×")
    if verdict["maximum"] is not None:
        parts.append(f"at most {value(verdict['maximum'], unit)}")
    return ", ".join(parts)


def _details(results: dict[str, Any]) -> Iterator[str]:
    yield "## Spread and CPU"
    yield ""
    yield "CPU is in cores; the client is sender and receiver together. `others` is the CPU of everything"
    yield "else, the kernel included: on an idle machine almost nothing."
    yield ""
    yield from table_head(DETAILS)
    for row in results["rows"]:
        for name, side in row["sides"].items():
            yield table_line(_detail_cells(row, name, side))
    yield ""
    yield "## The machine's limits"
    yield ""
    yield from table_head(["limit", "best of three"])
    for name, limit in results["limits"].items():
        yield table_line([name, f"{limit:,.0f}"])


def _detail_cells(row: dict[str, Any], name: str, side: dict[str, Any]) -> list[str]:
    unit, per_message = row["unit"], side.get("server_microseconds_per_message")
    cores = [
        f"{side[key]:.2f}" if key in side else "" for key in ("server_cores", "client_cores", "other_cores")
    ]
    return [
        row["work"],
        name,
        value(side["median"], unit),
        f"{value(side['min'], unit)} to {value(side['max'], unit)}",
        str(len(side["values"])),
        cores[0],
        f"{per_message:.2f} µs" if per_message else "",
        *cores[1:],
    ]


def table_head(heads: Sequence[str]) -> Iterator[str]:
    yield table_line(heads)
    yield table_line(["---"] * len(heads))


def table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
