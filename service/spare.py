"""Modules that answer nobody any more: the next version's weights go into one of them.

So a swap allocates nothing and builds nothing, and takes as long after thousands as at first.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from queue import Empty, SimpleQueue

from lure_core.checkpoint import LoadedClassifier
from lure_core.runner import Runner, Shape

_EACH = 2  # of one shape: as many as are loaded at once
_SHAPES = 4  # those that were loaded last; streams with equal models share one


class Spares:
    """Runners by their shape; a runner is spare from when its version's classifier is gone.

    A classifier is gone when nothing refers to it: no slot, no request that waits, no batch that
    is being computed. So nobody ever meets the weights of another version.
    """

    def __init__(self) -> None:
        self._idle: OrderedDict[Shape, SimpleQueue[Runner]] = OrderedDict()
        self._changing = threading.Lock()

    def take(self, shape: Shape) -> Runner | None:
        """A spare of that shape, if there is one; from now on such are kept."""
        with self._changing:
            idle = self._idle.setdefault(shape, SimpleQueue())
            self._idle.move_to_end(shape)
            if len(self._idle) > _SHAPES:
                self._idle.popitem(last=False)
        try:
            return idle.get_nowait()
        except Empty:
            return None

    def follow(self, classifier: LoadedClassifier) -> None:
        """Keep its runner when it is gone."""
        gone = weakref.finalize(classifier, self._keep, classifier.runner)
        gone.atexit = False

    def _keep(self, runner: Runner) -> None:
        """Called wherever the last reference falls, so it waits for no lock."""
        idle = self._idle.get(runner.shape)
        if idle is not None and idle.qsize() < _EACH:
            idle.put(runner)
