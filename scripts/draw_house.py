"""Draws docs/house.svg and docs/house.png: the rooms of the package, and who imports whom.

    python scripts/draw_house.py

Rooms, their words and arrows are read from the code: folders, docstrings, and the import statements by grimp.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "convergence"
# The way of the data, from an image to a verdict.
WAY = {
    "stimuli": "images",
    "models": "networks",
    "activations": "responses",
    "alignment": "scores",
    "results": "the table",
    "figures": "pictures",
    "report": "verdicts",
}
COLUMNS = {
    **{"commands": 1.6, "experiment": 1.2, "report": 2.5, "activations": 0, "axes": 0.97, "figures": 2.5},
    **{"models": 0, "results": 2.05, "stimuli": 0.3, "alignment": 1.4, "system": 0.85},
}
WIDTH, HEIGHT, ACROSS, DOWN = 3.3, 1.5, 3.75, 2.1
INK, SOFT, CARD, LINE = "#1b1f24", "#4d5661", "#f5f7f9", "#8a949e"
SCORES = ("#fff3d6", "#b26a00")  # ground and edge of the room where scores are made


def imports() -> dict[str, set[str]]:
    """For each room the rooms that it imports."""
    graph = grimp.build_graph("convergence", cache_dir=None)
    found: dict[str, set[str]] = {path.parent.name: set() for path in PACKAGE.glob("*/__init__.py")}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            a, b = ([*name.split("."), ""][1] for name in (module, other))
            if a in found and b in found and a != b:
                found[a].add(b)
    return found


def floors(rooms: dict[str, set[str]]) -> dict[str, int]:
    """How high each room lies: above all that it imports."""
    height: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in height:
            height[room] = 1 + max((floor(other) for other in rooms[room]), default=-1)
        return height[room]

    for room in rooms:
        floor(room)
    return height


def needed(rooms: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that no chain of other arrows implies."""

    def reached(room: str) -> set[str]:
        return rooms[room].union(*(reached(other) for other in rooms[room]))

    return [
        (room, other)
        for room, others in sorted(rooms.items())
        for other in sorted(others)
        if not any(other in reached(between) for between in others)
    ]


def places(height: dict[str, int]) -> dict[str, tuple[float, float]]:
    """The middle of each box: its floor is read from the code, its column is chosen so that arrows stay clear."""
    return {room: (COLUMNS.get(room, 3.6) * ACROSS, floor * DOWN) for room, floor in height.items()}


def draw() -> list[Path]:
    rooms = imports()
    height, arrows = floors(rooms), needed(rooms)
    at = places(height)
    xs, ys = zip(*at.values(), strict=True)
    wide, high = max(xs) - min(xs) + WIDTH + 0.6, max(ys) + HEIGHT + 1.3
    figure, axes = plt.subplots(figsize=(wide, high))
    for a, b in arrows:
        (x0, y0), (x1, y1) = at[a], at[b]
        style = {"arrowstyle": "-|>", "color": LINE, "lw": 1.3, "shrinkA": 0, "shrinkB": 2, "mutation_scale": 14}
        lean = max(-1.2, min(1.2, (x1 - x0) / 4))
        ends = {"xytext": (x0 + lean, y0 - HEIGHT / 2), "xy": (x1 - lean, y1 + HEIGHT / 2)}
        axes.annotate("", **ends, arrowprops=style, zorder=1)
    for room, (x, y) in at.items():
        _box(axes, room, x, y)
    axes.set_xlim(min(xs) - WIDTH / 2 - 0.3, max(xs) + WIDTH / 2 + 0.3)
    axes.set_ylim(-HEIGHT / 2 - 0.9, max(ys) + HEIGHT / 2 + 0.4)
    axes.axis("off")
    note = (
        "An arrow points from a room to one that it imports; those that others imply are left out.\n"
        "Numbers: the way of the data, from an image to a verdict. In yellow: responses become scores."
    )
    axes.text(min(xs) - WIDTH / 2, -HEIGHT / 2 - 0.75, note, fontsize=9.5, color=SOFT, va="bottom")
    plt.rcParams["svg.hashsalt"] = "house"
    made = [ROOT / "docs" / f"house.{kind}" for kind in ("svg", "png")]
    for path in made:
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=96, bbox_inches="tight", metadata=metadata)
    return made


def _box(axes: plt.Axes, room: str, x: float, y: float) -> None:
    ground, edge = SCORES if room == "alignment" else (CARD, LINE)
    left, top = x - WIDTH / 2, y + HEIGHT / 2
    shape = "round,pad=0,rounding_size=0.08"
    width = 2.2 if room == "alignment" else 1
    axes.add_patch(
        FancyBboxPatch((left, y - HEIGHT / 2), WIDTH, HEIGHT, boxstyle=shape, fc=ground, ec=edge, lw=width, zorder=2)
    )
    axes.text(left + 0.12, top - 0.12, f"{room}/", fontsize=12, weight="bold", color=INK, va="top", zorder=3)
    if room in WAY:
        step = f"{list(WAY).index(room) + 1}  {WAY[room]}"
        axes.text(left + WIDTH - 0.12, top - 0.14, step, fontsize=9.5, color=SCORES[1], va="top", ha="right", zorder=3)
    words = (ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or "").splitlines()[:1]
    inner = sorted(f"{path.parent.name}/" for path in (PACKAGE / room).glob("*/__init__.py"))
    lines = textwrap.wrap("".join(words), 37, break_on_hyphens=False)
    axes.text(left + 0.12, top - 0.46, "\n".join(lines), fontsize=8.7, color=SOFT, va="top", linespacing=1.3, zorder=3)
    axes.text(left + 0.12, y - HEIGHT / 2 + 0.12, "  ".join(inner), fontsize=9, color=INK, va="bottom", zorder=3)


if __name__ == "__main__":
    for path in draw():
        print(path.relative_to(ROOT))
