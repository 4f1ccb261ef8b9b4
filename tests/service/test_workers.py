from __future__ import annotations

import time

from sqlalchemy import text

from store import workers
from tests.service.conftest import Plane


def test_workers_are_listed_with_what_they_tell(plane: Plane) -> None:
    assert plane.client.get("/v1/workers").json() == {"items": []}
    with plane.database.begin() as session:
        facts = {"host": "gpu-1", "device": "H200", "clock": time.time()}
        workers.renew(session, "a", queue="learn", facts=facts)
        workers.renew(session, "dead", queue="admit", facts={})
        silent = "UPDATE workers SET seen_at = seen_at - interval '1 minute' WHERE id = 'dead'"
        session.execute(text(silent))
    answer = plane.client.get("/v1/workers")
    assert answer.status_code == 200
    dead, alive = answer.json()["items"]
    assert (dead["id"], dead["is_alive"], dead["clock_offset_s"]) == ("dead", False, None)
    assert (alive["id"], alive["queue"], alive["is_alive"]) == ("a", "learn", True)
    assert alive["facts"]["device"] == "H200"
    assert abs(alive["clock_offset_s"]) < 5
