"""What came of `serving.py`, as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.raw import Raw

SERVERS = ("lure", "litserve plain", "litserve runner", "fastapi")


@dataclass(frozen=True)
class Figure:
    """One server under one load: medians over the rounds."""

    case: str
    protocol: str
    clients: int
    server: str
    settings: str  # of LitServe
    per_s: float
    p50_ms: float
    p99_ms: float
    failures: int


@dataclass(frozen=True)
class Report:
    """All of it, by case."""

    figures: dict[str, list[Figure]]
    raw: dict[str, list[Raw]]


def show(report: Report) -> None:
    """Two tables for each case: the servers under each load, and what that comes to."""
    for case, figures in report.figures.items():
        by_load: dict[tuple[str, int], dict[str, Figure]] = {}
        for figure in figures:
            by_load.setdefault((figure.protocol, figure.clients), {})[figure.server] = figure
        print(f"### {case}: images a second · p50 · p99 ms (LitServe: workers x batch, wait)\n")
        print("\n".join(_servers(by_load)))
        print("\nlure ÷ each\n")
        print("\n".join(_quotients(by_load, max(loop.per_s for loop in report.raw[case]))))
        loops = (f"{one.graph} {one.batch}: {one.per_s:.1f}" for one in report.raw[case])
        print(f"\nraw torch loops, images/s by graph and batch: {'; '.join(loops)}\n")


def _servers(by_load: dict[tuple[str, int], dict[str, Figure]]) -> list[str]:
    lines = _head("body", "clients", *SERVERS, "failed")
    for (protocol, clients), servers in by_load.items():
        cells = [_cell(servers.get(name)) for name in SERVERS]
        failed = " / ".join(str(servers[name].failures) for name in SERVERS if name in servers)
        lines.append(_row(protocol, str(clients), *cells, failed))
    return lines


def _quotients(by_load: dict[tuple[str, int], dict[str, Figure]], raw_per_s: float) -> list[str]:
    lines = _head(
        "body", "clients", *(f"{what}, {name}" for name in SERVERS[1:] for what in ("/s", "p99")),
        "/s, raw",
    )  # fmt: skip
    for (protocol, clients), servers in by_load.items():
        ours, cells = servers["lure"], []
        for name in SERVERS[1:]:
            other = servers.get(name) or by_load["binary", clients][name]
            cells += [f"{ours.per_s / other.per_s:.2f}", f"{ours.p99_ms / other.p99_ms:.2f}"]
        cells.append(f"{ours.per_s / raw_per_s:.2f}")
        lines.append(_row(protocol, str(clients), *cells))
    return lines


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    settings = f" ({figure.settings})" if figure.settings else ""
    return f"{figure.per_s:.1f} · {figure.p50_ms:.1f} · {figure.p99_ms:.1f}{settings}"


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*["---"] * len(names))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
