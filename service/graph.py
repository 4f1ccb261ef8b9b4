"""A lineage as text that other tools draw: Mermaid and Graphviz's DOT.

Versions are numbers and names match a narrow pattern: nothing here needs to be escaped.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.schemas.lineage import LineageShape, NodeShape

MERMAID, DOT = "text/vnd.mermaid", "text/vnd.graphviz"


def mermaid(lineage: LineageShape) -> str:
    """A flowchart from left to right; names in bold, what never was champion dashed."""
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        kind = "" if node.promoted else ":::refused"
        label = "<br/>".join(_words(node, "<b>{}</b>"))
        lines.append(f'  v{node.version}["{label}"]{kind}')
    lines += [f"  v{edge.source} --> v{edge.target}" for edge in lineage.edges]
    lines.append("  classDef refused stroke-dasharray: 4 3")
    return "\n".join(lines) + "\n"


def dot(lineage: LineageShape) -> str:
    """A digraph from left to right; what never was champion dashed."""
    lines = [f'digraph "{lineage.stream}" {{', "  rankdir=LR", "  node [shape=box]"]
    for node in lineage.nodes:
        style = "" if node.promoted else ", style=dashed"
        label = r"\n".join(_words(node))
        lines.append(f'  v{node.version} [label="{label}"{style}]')
    lines += [f"  v{edge.source} -> v{edge.target}" for edge in lineage.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _words(node: NodeShape, names: str = "{}") -> Iterator[str]:
    """What stands in a node, line by line."""
    accuracy = "" if node.accuracy is None else f": {node.accuracy:.1%}"
    yield f"{node.version}{accuracy}"
    yield node.strategy if node.outcome is None else f"{node.strategy}, {node.outcome}"
    if node.state != "ready":
        yield node.state.replace("_", " ")
    if node.aliases:
        yield names.format(", ".join(node.aliases))
