"""The whole service on one machine: `lure up`, and `Stack` for programs and tests.

    data folder locked → PostgreSQL, Redis → migrations → API, workers, beat → /readyz answers

Every child runs in the foreground and dies with this process; one that ends is started again.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Self

import httpx

from lure import guard, layout, lock, logs, proc, voice
from lure.errors import EmbeddedError
from lure.processes import Child, Spec
from lure.servers import Postgres, Redis, Server
from lure.supervisor import Supervisor
from lure.waiting import until

TICK_S = 0.1
MIGRATIONS_S = 120.0
READY_S = 180.0  # the first import of torch from a cold disk takes its time


class Asked(EmbeddedError):
    """Somebody asked to stop while the stack was still coming up."""


@dataclass
class Stack:
    """The embedded service; a context manager.

    Attributes:
        data: where all its state is kept; may hold other files.
        port: of the (first) API, on 127.0.0.1; 0 picks a free one.
        env: added to the children's environment.
        api_replicas: how many API processes; those after the first get free ports.
        learn_workers: how many workers take cycles.
        say: gets a line for whatever is worth telling.
    """

    data: Path
    port: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    api_replicas: int = 1
    learn_workers: int = 1
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.data = self.data.absolute()
        self.postgres = Postgres(self.data / "postgres", log=self._log("postgres"))
        self.redis = Redis(self.data / "redis", log=self._log("redis"))
        self.urls: list[str] = []
        self._run_id = uuid.uuid4().hex
        self.hurry = threading.Event()
        self._supervisor = Supervisor(self._tell)
        self._stop, self._up, self._down = (threading.Event() for _ in range(3))
        self.failure: EmbeddedError | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the (first) API answers."""
        return self.urls[0]

    @property
    def children(self) -> Mapping[str, Child]:
        """By name: postgres, redis, api, admit, learn and beat; further ones are api-2, learn-2."""
        units = list(self._supervisor.units.items())
        return MappingProxyType({name: unit.child for name, unit in units})

    @property
    def stopping(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._stop.is_set()

    def start(self) -> Self:
        """Brings everything up and waits until it answers.

        All children are started by one thread that lives as long as they do: the kernel would
        end them with the thread that started them.

        Raises:
            EmbeddedError: something did not start; everything is down again.
        """
        self._thread = threading.Thread(target=self._run, name="lure-stack", daemon=True)
        self._thread.start()
        while not (self._up.wait(TICK_S) or self._down.is_set()):
            pass  # short waits, so that a signal handler gets its turn
        if not self._up.is_set():
            self.wait()
            raise self.failure or EmbeddedError("the stack's thread ended by an error of its own")
        return self

    def ask_to_stop(self) -> None:
        """Begins to end everything; a second call hurries. Safe in a signal handler."""
        if self._stop.is_set():
            self.hurry.set()
        self._stop.set()

    def wait(self) -> None:
        """Waits until everything has ended."""
        while not self._down.wait(TICK_S):
            pass
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Ends everything: beat and workers, API, Redis, PostgreSQL."""
        self._stop.set()
        if self._thread is not None:
            self.wait()

    def left(self) -> list[proc.Entry]:
        """Processes of this run that are still there; none after `stop`."""
        return proc.marked(layout.RUN_MARK, self._run_id)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with lock.held(self.data), guard.guarded(self._run_id), ExitStack() as cleanup:
                cleanup.callback(self._take_down)
                self._bring_up()
                self._up.set()
                while not self._stop.wait(TICK_S):
                    self._supervisor.tick()
        except EmbeddedError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001  (the thread's last frame: nobody else would see)
            self._tell(traceback.format_exc())
            self.failure = EmbeddedError(f"the stack failed: {error!r}")
        finally:
            self._down.set()

    def _bring_up(self) -> None:
        self._end_orphans()
        ports = layout.ports(self.port, count=self.api_replicas)
        self.urls = [layout.url(port) for port in ports]
        for server in (self.postgres, self.redis):
            self._start_server(server)
        told = layout.environment(self.data, self.postgres.url, self.redis.url)
        env = {**told, **self.env, **layout.marks(self.data, self._run_id)}
        self._migrate(env)
        apis = layout.apis(ports)
        for name, argv, more in (*apis, *layout.workers(self.data, self.learn_workers)):
            self._supervisor.start(Child(self._spec(name, argv, env={**env, **more})))
        for url in self.urls:
            self._await_ready(url)

    def _start_server(self, server: Server) -> None:
        logs.rotate(server.log)
        server.start()
        self._supervisor.adopt(server.child, prepare=server.prepare)
        self._go_on()

    def _migrate(self, env: Mapping[str, str]) -> None:
        child = Child(self._spec("migrate", ("-m", "store.admin", "migrate"), env=env))
        logs.rotate(child.spec.log)
        child.start()
        try:
            until(lambda: self._stop.is_set() or not child.running, timeout_s=MIGRATIONS_S)
            self._go_on()
            if child.exit_code != 0:
                message = f"the migrations did not end well; the end of {child.spec.log}:\n"
                raise EmbeddedError(message + child.tail())
        finally:
            child.kill()
        self._tell("migrations are done")

    def _await_ready(self, url: str) -> None:
        def answers() -> bool:
            self._go_on()
            self._supervisor.tick()
            try:
                return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        if not until(answers, timeout_s=READY_S, poll_s=TICK_S):
            api = self._log("api")
            raise EmbeddedError(f"{url} is not ready after {READY_S:.0f} s; see {api}")

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Asked("stopped before it was ready")

    def _end_orphans(self) -> None:
        """What a killed run on this folder left behind; PostgreSQL sees to its own."""
        if ended := guard.end_all(layout.MARK, str(self.data.resolve())):
            self._tell(f"ended {ended} processes that an earlier run had left")

    def _take_down(self) -> None:
        names = list(self._supervisor.units)
        apis = [name for name in names if name.startswith("api")]
        servers = ["redis", "postgres"]
        workers = [name for name in names if name not in (*apis, *servers)]
        for group in (workers, apis, *([server] for server in servers)):
            self._supervisor.stop(group, hurry=self.hurry)
        self.redis.stop()
        self.postgres.stop()
        guard.end_all(layout.RUN_MARK, self._run_id)

    def _tell(self, line: str) -> None:
        with suppress(OSError, ValueError):  # nobody listens any more: no reason to stop serving
            self.say(line)

    def _log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def _spec(self, name: str, argv: tuple[str, ...], *, env: Mapping[str, str]) -> Spec:
        stop_s = layout.STOP_S.get(name.partition("-")[0], 8.0)
        program = (sys.executable, "-P", *argv)  # -P: nothing is imported from where one stands
        return Spec(name=name, argv=program, log=self._log(name), env=env, stop_s=stop_s)


def run(stack: Stack) -> int:
    """`lure up`: runs the stack until this process is told to end; its exit code.

    SIGINT, SIGTERM or SIGHUP to this process alone ends everything; a second one hurries. Under
    `nohup` SIGHUP stays ignored.
    """

    def asked(number: int, _: FrameType | None) -> None:
        doing = "hurrying" if stack.stopping else "stopping"
        stack.ask_to_stop()  # before a word is said: the terminal may be gone
        stack.say(f"{signal.Signals(number).name}: {doing}")

    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    for number in ends:
        signal.signal(number, asked)
    try:
        stack.start()
    except EmbeddedError as error:
        stack.say(str(error))
        return 0 if isinstance(error, Asked) else 1
    for url in stack.urls:
        voice.tell(f"lure: ready at {url}", sys.stdout)
    stack.wait()
    if stack.failure is not None:
        stack.say(str(stack.failure))
    return 0 if stack.failure is None else 1
