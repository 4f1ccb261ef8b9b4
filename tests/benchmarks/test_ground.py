from __future__ import annotations

import os
import socket
import sys

from benchmarks.ground import running
from lure.layout import HOST, ports
from lure.waiting import until

# as LitServe has it: a process that ends on SIGTERM, and another that listens
LISTENER = """
import socket, sys, time
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {LISTENER!r}, sys.argv[1]])
time.sleep(600)
"""


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex((HOST, port)) == 0


def test_a_programs_children_end_with_it() -> None:
    port = ports(0, count=1)[0]
    with running([sys.executable, "-c", PARENT, str(port)], port, os.environ):
        assert until(lambda: listens(port), timeout_s=30)
    assert not listens(port)


def test_a_paused_program_ends_too() -> None:
    port = ports(0, count=1)[0]
    with running([sys.executable, "-c", PARENT, str(port)], port, os.environ) as program:
        assert until(lambda: listens(port), timeout_s=30)
        program.pause()
    assert not listens(port)
