"""The gate: may a candidate be served in the champion's place? Pure; `docs/gate.md` is its manual.

`decide` asks the rules that the stream's policy declares (`lure_core.policies.Gate`).
"""

from __future__ import annotations

from worker.gate.verdict import Case, Score, Verdict, decide

__all__ = ["Case", "Score", "Verdict", "decide"]
