"""Results as a picture: how many times better mq9fast is than each peer, with a mark at the target."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator

MET, MISSED, NO_TARGET, MARK = "#2a78d6", "#d97706", "#9aa3ad", "#111827"
BAR_INCHES = 0.3
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]


def draw(results: dict[str, Any], path: Path) -> None:
    bars = [
        (f"{row['work']}  |  {verdict['peer']}", verdict)
        for row in results["rows"]
        for verdict in row["verdicts"]
        if verdict["peer"]
    ]
    if not bars:
        return
    figure, axes = plt.subplots(figsize=(11, 1.4 + BAR_INCHES * len(bars)))
    for place, (_, verdict) in enumerate(bars):
        axes.barh(place, verdict["ratio"] - 1, left=1, height=0.62, color=_color(verdict))
        edge = max(verdict["ratio"], verdict["target"] or 0, 1)
        axes.annotate(
            f"{verdict['ratio']:.2f}×",
            (edge, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        if verdict["target"]:
            axes.plot([verdict["target"]] * 2, [place - 0.42, place + 0.42], color=MARK, linewidth=1.6)
    _finish(axes, [label for label, _ in bars], results)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def _color(verdict: dict[str, Any]) -> str:
    return {True: MET, False: MISSED, None: NO_TARGET}[verdict["met"]]


def _finish(axes: Any, labels: list[str], results: dict[str, Any]) -> None:
    axes.set_xscale("log")
    axes.set_xticks([number for number in TICKS if axes.get_xlim()[0] < number < axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}×")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color=MARK, linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.01)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(
        "Times better than the peer (longer is better, also for memory and latency)\n"
        "black mark: the target; blue: met, orange: missed, grey: no target",
        fontsize=10,
        loc="left",
    )
    machine = results["machine"]
    axes.set_xlabel(
        f"{results['date']}, commit {results['commit']}, {machine['processor']}, "
        f"medians of {results['rounds']} rounds",
        fontsize=8,
    )
