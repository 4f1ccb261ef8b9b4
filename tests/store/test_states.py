"""The table of moves is whole, and nothing moves outside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import Conflict
from store.states import (
    ACTIVE,
    CHUNK_MOVES,
    CYCLE_MOVES,
    VERSION_MOVES,
    ChunkState,
    CycleState,
    VersionState,
    check_chunk_move,
    check_cycle_move,
    check_version_move,
)


def test_every_state_has_its_row_in_the_tables() -> None:
    assert set(CHUNK_MOVES) == set(ChunkState)
    assert set(VERSION_MOVES) == set(VersionState)
    assert {state for moves in CYCLE_MOVES.values() for state in moves} <= set(CYCLE_MOVES)


@given(st.sampled_from(ChunkState), st.sampled_from(ChunkState))
def test_a_chunk_moves_only_as_the_table_says(old: ChunkState, new: ChunkState) -> None:
    if new in CHUNK_MOVES[old]:
        check_chunk_move(old, new)
    else:
        with pytest.raises(Conflict, match=f"{old} cannot become {new}"):
            check_chunk_move(old, new)


@given(st.lists(st.sampled_from(ChunkState), max_size=12))
def test_no_path_leads_from_a_learned_chunk_back_to_learning(path: list[ChunkState]) -> None:
    state = ChunkState.LEARNED
    for wanted in path:
        if wanted in CHUNK_MOVES[state]:
            state = wanted
    assert state in (ChunkState.LEARNED, ChunkState.RETRACTED)


def test_every_live_chunk_can_be_retracted() -> None:
    for state in set(ChunkState) - {ChunkState.RETRACTED}:
        check_chunk_move(state, ChunkState.RETRACTED)


def test_an_ended_cycle_never_runs_again() -> None:
    for ended in set(CycleState) - set(ACTIVE):
        for new in CycleState:
            with pytest.raises(Conflict):
                check_cycle_move(ended, new)


def test_deleted_weights_never_come_back() -> None:
    for state in VersionState:
        with pytest.raises(Conflict):
            check_version_move(VersionState.WEIGHTS_DELETED, state)
