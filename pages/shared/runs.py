"""The server's side of a run that is followed live: computed step by step, when asked.

A `LiveRun` owns one generator and everything it has yielded so far. There is no thread and no
timer: a request for frames computes them, so a run that nobody asks about costs nothing.
No Streamlit in here.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

S = TypeVar("S")

MAX_ASK = 8  # frames computed for one request
MAX_TOTAL = 4000  # frames of one run


class FairSemaphore:
    """A semaphore that hands its permits over in order of arrival.

    `threading.Semaphore` lets the thread that has just released take the permit again before the
    one that waited wakes up, so a long run would starve the others between two of its own steps.
    Here nobody is overtaken but by the first step of a new run (`ahead`): its reader has just
    moved a control and sees nothing yet. Of N runs each waits for at most one step of each other,
    and for those.
    """

    def __init__(self, permits: int = 1) -> None:
        """Start with `permits` free permits."""
        self._lock = threading.Lock()
        self._permits = self._free = permits
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, *, ahead: bool = False) -> Iterator[int]:
        """Hold one permit for the length of a `with` block; gives how many came before.

        Those are the ones that stood in line at the time of asking, and the ones at work; with
        `ahead` the line is jumped, and only the ones at work come before.
        """
        before = self._acquire(ahead)
        try:
            yield before
        finally:
            self._release()

    def _acquire(self, ahead: bool) -> int:
        with self._lock:
            before = self._permits - self._free + (0 if ahead else len(self._waiting))
            if self._free > 0:
                self._free -= 1
                return before
            turn = threading.Event()
            (self._waiting.appendleft if ahead else self._waiting.append)(turn)
        try:
            turn.wait()
        except BaseException:  # e.g. KeyboardInterrupt: leave the queue, or pass the permit on
            with self._lock:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    raise
            self._release()
            raise
        return before

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


STEPS = FairSemaphore()  # one network step at a time in this process: sessions share the cores


class Pull(NamedTuple):
    """A valid request for frames: those from `have` on, `ask` of them to be computed."""

    run: str
    have: int
    ask: int


def parse_pull(message: object, *, run: str, total: int) -> Pull | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: The raw message, `{"run": str, "have": int, "ask": int}` if it is honest.
        run: The run that is on the page now; a request for another is stale.
        total: The run's number of frames.

    Returns:
        The request with `have` capped to `total` and `ask` to `MAX_ASK`; None if it is not one.
    """
    if not isinstance(message, Mapping) or message.get("run") != run:
        return None
    have, ask = message.get("have"), message.get("ask")
    if type(have) is not int or type(ask) is not int or have < 0 or ask < 0:
        return None
    return Pull(run, min(have, total), min(ask, MAX_ASK))


class Line(NamedTuple):
    """How a request for frames fared among the others.

    Attributes:
        others: the most that were found at work or waiting when one of its steps was due.
        seconds: the time from one of its steps to the next, on average.
    """

    others: int
    seconds: float


class LiveRun(Generic[S]):
    """One sampling run, computed as far as it has been asked for.

    A generator may yield None between its frames: work goes on, and this is a moment at which
    others may have their turn, or a control its answer. A training does so at every gradient step.

    Frames are kept, so let `make` yield what is to be shown (a few small uint8 arrays) rather
    than whole sampler states.

    If the generator dies of an exception, the next request makes it anew and skips what it has
    already yielded. That needs nothing from the sampler but what it promises anyway, the same
    frames for the same seed; restarting from a saved state would need every sampler to give its
    generator state and history away. The price is computing the skipped steps once more.
    """

    def __init__(self, make: Callable[[], Iterator[S | None]], total: int, *, ident: str) -> None:
        """Prepare a run; nothing is computed yet.

        Args:
            make: Returns a fresh iterator over the frames, and over pauses (None) between them;
                equal on every call.
            total: How many frames the run has.
            ident: Names the run; another seed or setting is another ident.

        Raises:
            ValueError: If `total` is not in 1..`MAX_TOTAL`.
        """
        if not 1 <= total <= MAX_TOTAL:
            raise ValueError(f"a run has 1 to {MAX_TOTAL} frames, not {total}")
        self.ident = ident
        self.total = total
        self._make = make
        self._frames: list[S] = []
        self._generator: Iterator[S | None] | None = None
        self._position = 0  # frames the current generator has yielded
        self.failures = 0  # in a row, without a frame between them
        self.line = Line(0, 0.0)  # of the last request that computed anything
        self._others = 0
        self._lock = threading.Lock()

    @property
    def have(self) -> int:
        """How many frames have been computed."""
        return len(self._frames)

    @property
    def complete(self) -> bool:
        """Whether every frame has been computed."""
        return self.have >= self.total

    def frames(self, start: int = 0) -> list[S]:
        """Return the frames computed so far, from `start` on."""
        return self._frames[max(0, start) :]

    def advance(
        self,
        upto: int,
        *,
        seconds: float | None = None,
        between: Callable[[], object] = lambda: None,
    ) -> list[S]:
        """Compute until `upto` frames exist; what exists is not computed again.

        Args:
            upto: How many frames there should be, capped to the run's total.
            seconds: Stop after the step in which this time has passed, so that a slow network or
                a busy machine still answers soon; at least one missing frame is computed.
            between: Called between two steps, once there is a frame to show. It may raise, if
                nobody wants the next one any more: what was computed is kept.

        Returns:
            All frames that now exist.

        Raises:
            RuntimeError: If the generator ends before `total` frames.
        """
        upto = min(upto, self.total)
        if self.have >= upto:  # nobody waits here for what another reader of this run still wants
            return list(self._frames)
        with self._lock:
            begun, had, self._others = time.monotonic(), self.have, 0
            deadline = None if seconds is None else begun + seconds
            for step in itertools.count():
                if self.have >= upto:
                    break
                if step and self.have:
                    between()
                try:
                    frame = self._step()
                except BaseException:
                    self._generator = None
                    self.failures += 1
                    raise
                if frame is None:
                    continue
                self._frames.append(frame)
                self.failures = 0
                passed = time.monotonic() - begun
                self.line = Line(self._others, passed / (self.have - had))
                if deadline is not None and time.monotonic() >= deadline:
                    break
            if self.complete:
                self._generator = None  # frees the sampler's tensors
            return list(self._frames)

    def _step(self) -> S | None:
        """Take one step, on a new generator if the last one died; the frame that is new, if any."""
        if self._generator is None:
            self._generator, self._position = self._make(), 0
        try:
            with STEPS.turn(ahead=self.have == 0) as others:
                self._others = max(self._others, others)
                frame = next(self._generator)
        except StopIteration:
            raise RuntimeError(
                f"run {self.ident!r} ended after {self._position} of {self.total} frames"
            ) from None
        self._position += frame is not None
        return frame if self._position > self.have else None


class Runs:
    """Runs by name, a session's or shared: the few last used are kept, so memory stays bounded."""

    def __init__(self, keep: int = 2) -> None:
        """Keep at most `keep` runs."""
        self._keep = keep
        self._runs: OrderedDict[str, LiveRun[Any]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many runs are kept."""
        return len(self._runs)

    def open(self, ident: str, make: Callable[[], Iterator[S | None]], total: int) -> LiveRun[S]:
        """Return the run of this name, made if it is new; `make` is ignored if it is not."""
        run = self._runs.get(ident)
        if run is None or run.total != total:
            run = self._runs[ident] = LiveRun(make, total, ident=ident)
        self._runs.move_to_end(ident)
        while len(self._runs) > self._keep:
            self._runs.popitem(last=False)
        return run
