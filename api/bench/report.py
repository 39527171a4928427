"""What a bench has measured: figures, what they are compared with, whether it was right, and on what machine."""

import json
import os
import platform
import timeit
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import rich_click as click
from attrs import define, field

from api.commands.output import print_json, print_table, say
from api.compose import memory_gb

TOLERANCE: Final = 0.7
"""A ratio below this share of the recorded one is a regression: less is noise on a shared machine."""
ATTEMPTS: Final = 3
"""So many times in a row a ratio must have fallen to be a regression."""
DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
_PACKAGES: Final = ("psycopg", "msgspec", "litestar", "uvicorn", "uvloop", "eventsourcing", "umadb")


@define
class Measured:
    """One bench's result."""

    bench: str
    figures: dict[str, float] = field(factory=dict)
    """What was measured; names end in their unit, ratios begin with ``ratio_``."""
    yardsticks: dict[str, dict[str, float]] = field(factory=dict)
    """What others reached in the same run."""
    checks: dict[str, bool] = field(factory=dict)
    """What must be true for the figures to count."""
    settings: dict[str, Any] = field(factory=dict)

    @property
    def right(self) -> bool:
        """Whether the figures count."""
        return all(self.checks.values())

    @property
    def held(self) -> dict[str, float]:
        """Return the ratios that later runs are held against.

        Those to UmaDB are told but not held: it need not be installed, and its own pace doubles within minutes.
        """
        ratios = {name: value for name, value in self.figures.items() if name.startswith("ratio_")}
        return {name: value for name, value in ratios.items() if not name.startswith("ratio_umadb")}

    def compare(self, yardstick: str, figures: Mapping[str, float]) -> None:
        """Note what something else has reached; nothing when it was not measured."""
        if figures:
            self.yardsticks[yardstick] = dict(figures)

    def durable(self, settings: Mapping[str, str]) -> None:
        """Note what PostgreSQL says of itself; what it acknowledges must be on disk, or the figures are of a toy."""
        self.settings |= {f"postgresql_{name}": value for name, value in settings.items()}
        self.checks["PostgreSQL has on disk what it acknowledges"] = all(settings[each] == "on" for each in DURABLE)

    def ratio(self, name: str, value: float, to: float | None) -> None:
        """Note how a figure compares."""
        if to:
            self.figures[f"ratio_{name}"] = value / to

    def document(self) -> dict[str, Any]:
        """Return it as JSON knows it: the figures at the top, by their names."""
        return {
            "bench": self.bench,
            **{name: rounded(value) for name, value in self.figures.items()},
            "yardsticks": {
                each: {name: rounded(value) for name, value in figures.items()}
                for each, figures in self.yardsticks.items()
            },
            "checks": self.checks,
            "settings": self.settings,
            "machine": machine(),
        }


def rounded(value: float) -> float:
    """Round to what can be meant: four digits, whole numbers from a thousand on."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")  # noqa: PLR2004


def machine() -> dict[str, Any]:
    """Say on what it was measured."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "memory_gb": memory_gb(),
        "processor": _processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "python_loop_ms": rounded(_python_loop_ms()),
        **versions,
    }


def _python_loop_ms() -> float:
    """Time a million calls of a function that adds: how fast this interpreter is on this machine at this hour."""
    return 1e3 * min(timeit.repeat("add(1)", "def add(n): return n + 1", number=1_000_000, repeat=3))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def show(all_measured: list[Measured], *, as_json: bool) -> None:
    """Print tables, or one JSON document: of one bench its own, of several an object by name."""
    if as_json:
        documents = {each.bench: each.document() for each in all_measured}
        print_json(documents if len(all_measured) > 1 else all_measured[0].document())
        return
    for each in all_measured:
        click.echo(f"\n{each.bench}")
        print_table(("FIGURE", "VALUE"), [(name, _text(value)) for name, value in each.figures.items()])
        rows = [(other, *figure) for other, found in each.yardsticks.items() for figure in found.items()]
        if rows:
            click.echo("")
            print_table(("BESIDE IT", "", "VALUE"), [(other, name, _text(value)) for other, name, value in rows])
        for name, good in each.checks.items():
            click.echo(f"{'right' if good else 'WRONG'}: {name}")
        click.echo(", ".join(f"{name} {value}" for name, value in each.settings.items()))
    click.echo("\n" + ", ".join(f"{name} {value}" for name, value in machine().items()))


def _text(value: float) -> str:
    return f"{rounded(value):,}".rjust(12)


def record(path: Path, all_measured: list[Measured]) -> None:
    """Write the ratios to a file, for later runs to be held against."""
    ratios = {each.bench: {name: rounded(value) for name, value in each.held.items()} for each in all_measured}
    path.write_text(json.dumps(ratios, indent=2) + "\n")


def held_against(path: Path, run: Callable[[], Measured]) -> Measured:
    """Run a bench, and again when a ratio has fallen too far; return the first run that holds, or the last.

    A slow minute of a shared machine passes. A program that has become slower stays slow.
    """
    measured = run()
    for _ in range(ATTEMPTS - 1):
        fallen = regressions(path, measured)
        if not fallen or not measured.right:
            break
        say(f"livetill: measuring again: {'; '.join(fallen)}")
        measured = run()
    return measured


def regressions(path: Path, measured: Measured) -> list[str]:
    """Return what has fallen too far below the recorded ratios; one that is missing now counts."""
    recorded: dict[str, float] = json.loads(path.read_text()).get(measured.bench, {})
    now = {name: measured.held.get(name, 0.0) for name in recorded}
    return [
        f"{measured.bench}: {name} is {now[name]:.3g}, recorded is {before:.3g}"
        for name, before in recorded.items()
        if now[name] < TOLERANCE * before
    ]
