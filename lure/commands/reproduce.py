"""A version's cycle once more."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lure import render, shapes
from lure.commands.options import AsJson, Stream, Url, connect, say
from lure.errors import LureError

app = typer.Typer()

_AS_IT_WAS = "reproduce"
_OTHERWISE = 1


@app.command()
def reproduce(
    stream: Stream,
    version: Annotated[int, typer.Argument(min=1, help="The version.")],
    *,
    method: Annotated[
        str, typer.Option(help="warm, scratch, …: in the place of what it did.")
    ] = _AS_IT_WAS,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train a version again from its stored inputs; exits with 1 if its bits come out otherwise.

    It begins when no stream has anything to learn.
    """
    with connect(url) as client:
        asked = client.reproduce(stream, version, method=method)
        say(f"rerun {asked['id']} begins when no stream has anything to learn")
        rerun = client.wait_for_rerun(stream, asked["id"])
        made = client.version(stream, version)
    result = rerun["result"]
    if result is None:
        why = rerun["error"] or rerun["state"]
        raise LureError(f"version {version} could not be run again", detail=why)
    if as_json:
        render.document(rerun)
    elif method == _AS_IT_WAS:
        typer.echo(_told_of_bits(f"{stream}: version {version}", result))
    else:
        typer.echo(_compared(f"{stream}: version {version}", made, method, result))
    if result["identical"] is False:
        raise typer.Exit(_OTHERWISE)


def _told_of_bits(what: str, result: dict[str, Any]) -> str:
    lines = [f"{what} came out bit-identical, {result['digest']}"]
    if not result["identical"]:
        lines = [f"{what} came out otherwise{_distance(result)}"]
    for name, both in result["circumstances"].items():
        lines.append(f"  {name} was {both['before']}, is {both['now']}")
    return "\n".join(lines)


def _distance(result: dict[str, Any]) -> str:
    """How far it is from what it was, where that can be told."""
    if result["tensors"] is None:
        return "; by how much cannot be told, its weights are deleted"
    words = f": {result['differing_tensors']} of {result['tensors']} tensors differ"
    if result["max_difference"] is not None:
        words += f", by {result['max_difference']:.2g} at most"
    if result["agreement"] is not None:
        words += f"; {result['agreement']:.2%} of the judge images are answered alike"
    return words


def _compared(what: str, made: shapes.Version, method: str, result: dict[str, Any]) -> str:
    own = made["environment"].get("timings", {})
    return (
        f"{what} by {made['strategy']}: {_figures(made['metrics'], own)}\n"
        f"  by {method}: {_figures(result['metrics'], result['timings'])}"
    )


def _figures(metrics: dict[str, Any], timings: dict[str, float]) -> str:
    seconds = timings.get("unlearn", 0.0) + timings.get("relearn", 0.0)
    return f"accuracy {render.cell(metrics['accuracy'])} after {seconds:.1f} s"
