"""Live runs: computed when asked, once, by one thread at a time, in fair turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise

import pytest

from pages.shared import runs
from pages.shared.runs import MAX_ASK, FairSemaphore, LiveRun, Pull, Runs, parse_pull


class Counter:
    """A source of runs that counts what it computes."""

    def __init__(self, total: int = 20, dies_at: int | None = None, times: int = 1) -> None:
        """Die `times` times on the way to frame `dies_at`."""
        self.total, self.dies_at, self.times = total, dies_at, times
        self.made = 0
        self.computed: list[int] = []

    def __call__(self) -> Iterator[int]:
        """Make one run."""
        self.made += 1
        for i in range(self.total):
            if i == self.dies_at and self.times > 0:
                self.times -= 1
                raise FloatingPointError("nan")
            self.computed.append(i)
            yield i


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    source = Counter()
    run = LiveRun(source, 20, ident="a")
    assert (source.made, run.have, run.frames()) == (0, 0, [])


def test_advance_is_idempotent_and_capped() -> None:
    source = Counter()
    run = LiveRun(source, 20, ident="a")
    assert run.advance(5) == [0, 1, 2, 3, 4]
    assert run.advance(5) == run.advance(3) == run.advance(-1) == [0, 1, 2, 3, 4]
    assert run.frames(3) == [3, 4]
    assert run.frames(-3) == [0, 1, 2, 3, 4]
    assert run.frames(99) == []
    assert run.advance(10**9) == list(range(20))
    assert run.complete
    assert source.computed == list(range(20))


def test_what_is_returned_is_not_what_is_kept() -> None:
    run = LiveRun(Counter(), 20, ident="a")
    run.advance(2).clear()
    run.frames().clear()
    assert run.frames() == [0, 1]


def test_time_limit_still_moves_on() -> None:
    run = LiveRun(Counter(), 20, ident="a")
    assert run.advance(20, seconds=0) == [0]
    assert run.advance(20, seconds=0) == [0, 1]


def test_rebuilt_after_an_exception() -> None:
    source = Counter(dies_at=7)
    run = LiveRun(source, 20, ident="a")
    with pytest.raises(FloatingPointError):
        run.advance(10)
    assert run.have == 7
    assert run.failures == 1
    assert run.advance(10) == list(range(10))
    assert source.made == 2
    assert run.failures == 0


def test_dying_again_keeps_what_there_is() -> None:
    run = LiveRun(Counter(dies_at=7, times=3), 20, ident="a")
    for failures in (1, 2, 3):
        with pytest.raises(FloatingPointError):
            run.advance(10)
        assert run.failures == failures
        assert run.frames() == list(range(7))
    assert run.advance(20) == list(range(20))


def test_a_generator_that_ends_early_is_an_error() -> None:
    run = LiveRun(Counter(total=3), 5, ident="short")
    with pytest.raises(RuntimeError, match="'short' ended after 3 of 5 frames"):
        run.advance(5)
    assert run.frames() == [0, 1, 2]


@pytest.mark.parametrize("total", [0, -1, runs.MAX_TOTAL + 1])
def test_total_is_bounded(total: int) -> None:
    with pytest.raises(ValueError, match="frames"):
        LiveRun(Counter(), total, ident="a")


def test_threads_compute_every_frame_once() -> None:
    source = Counter(total=200)
    run = LiveRun(source, 200, ident="a")
    threads = [threading.Thread(target=run.advance, args=(200,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert source.computed == list(range(200))
    assert run.frames() == list(range(200))


def test_the_permit_is_free_again_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STEPS", FairSemaphore())
    run = LiveRun(Counter(dies_at=1), 20, ident="a")
    with pytest.raises(FloatingPointError):
        run.advance(2)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (run.advance(3), done.set()), daemon=True)
    thread.start()
    assert done.wait(5)


def test_turns_are_taken_in_order() -> None:
    """Two long runs alternate step by step; neither waits for the other to finish."""
    semaphore = FairSemaphore()
    order: list[str] = []
    gate = threading.Barrier(2)

    def work(name: str) -> None:
        gate.wait()
        for _ in range(50):
            with semaphore.turn():
                # Hold the permit until the other waits for it, or is done.
                threading.Event().wait(0.001)
                order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    changes = sum(one != other for one, other in pairwise(order))
    assert len(order) == 100
    assert changes >= 80  # 99 at best; a barging semaphore gives a handful


def test_no_run_waits_for_more_than_its_share() -> None:
    """Ten runs at once: between asking for a step and getting it, each other run has one or two.

    One by the order of the line; a second by the moment between counting and standing in line.
    """
    semaphore, runs_, steps = FairSemaphore(), 10, 20
    given = 0
    waits: list[int] = []
    gate = threading.Barrier(runs_)

    def work() -> None:
        nonlocal given
        gate.wait()
        for _ in range(steps):
            asked = given
            with semaphore.turn():
                waits.append(given - asked)
                given += 1
                threading.Event().wait(0.0005)

    threads = [threading.Thread(target=work) for _ in range(runs_)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(waits) == given == runs_ * steps
    assert max(waits) <= 2 * (runs_ - 1)


def test_the_line_is_counted() -> None:
    """Whoever asks learns how many came before: at work, and waiting."""
    semaphore = FairSemaphore()
    found: list[int] = []

    def ask() -> None:
        with semaphore.turn() as others:
            found.append(others)

    def standing(count: int) -> None:
        deadline = threading.Event()
        while len(semaphore._waiting) < count:
            deadline.wait(0.001)

    with semaphore.turn() as others:
        assert others == 0
        threads = []
        for count in (1, 2, 3):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
            standing(count)
    for thread in threads:
        thread.join(timeout=10)
    assert found == [1, 2, 3]
    with semaphore.turn() as others:
        assert others == 0


def test_the_first_step_of_a_new_run_goes_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has just moved a control waits for the step at work, not for the whole line."""
    monkeypatch.setattr(runs, "STEPS", FairSemaphore())
    order: list[str] = []

    def steps(name: str) -> Iterator[int]:
        for step in range(3):
            order.append(f"{name}{step}")
            yield step

    old = [LiveRun(partial(steps, name), 3, ident=name) for name in "ab"]
    for run in old:
        run.advance(1)
    new = LiveRun(partial(steps, "new"), 3, ident="new")
    threads = [threading.Thread(target=run.advance, args=(2,)) for run in (*old, new)]
    with runs.STEPS.turn():
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(runs.STEPS._waiting) < count:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(timeout=10)
    assert order == ["a0", "b0", "new0", "a1", "b1", "new1"]


def test_a_run_tells_how_many_others_it_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STEPS", FairSemaphore())
    run = LiveRun(Counter(), 20, ident="a")
    run.advance(2)
    assert run.line.others == 0
    thread = threading.Thread(target=run.advance, args=(3,))
    with runs.STEPS.turn():
        thread.start()
        while not runs.STEPS._waiting:
            threading.Event().wait(0.001)
    thread.join(timeout=10)
    assert run.line.others == 1
    run.advance(3)  # computes nothing, so nothing is known anew
    assert run.line.others == 1
    run.advance(4)
    assert run.line.others == 0


def test_it_ends_between_two_steps_when_its_reader_has_left() -> None:
    """What was computed is kept, the permit is free, and the run goes on if somebody comes back."""

    class LeftError(Exception):
        pass

    source, seen = Counter(), []

    def leave_after_three() -> None:
        seen.append(len(source.computed))
        if len(seen) == 3:
            raise LeftError

    run = LiveRun(source, 20, ident="a")
    with pytest.raises(LeftError):
        run.advance(8, between=leave_after_three)
    assert seen == [1, 2, 3]  # looked after each step, and none came after the third
    assert (source.computed, run.have, run.failures) == ([0, 1, 2], 3, 0)
    assert run.advance(8) == list(range(8))
    assert source.made == 1


class Paused(Counter):
    """A source of runs that pauses twice before each frame but the first."""

    def __call__(self) -> Iterator[int | None]:  # type: ignore[override]
        """Make one run."""
        for i in super().__call__():
            if i:
                yield None
                yield None
            yield i


def test_a_pause_is_no_frame() -> None:
    source = Paused(dies_at=7)
    run = LiveRun(source, 20, ident="a")
    assert run.advance(3) == [0, 1, 2]
    with pytest.raises(FloatingPointError):
        run.advance(20)
    assert run.advance(20, seconds=0) == list(range(8))  # made anew, and skips to the eighth
    assert run.advance(20) == list(range(20))
    assert source.made == 2


def test_a_control_is_answered_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    class MovedError(Exception):
        pass

    turns = []

    class Counted(FairSemaphore):
        def turn(self, *, ahead: bool = False) -> AbstractContextManager[int]:
            turns.append(ahead)
            return super().turn(ahead=ahead)

    monkeypatch.setattr(runs, "STEPS", Counted())
    source = Paused()
    run = LiveRun(source, 20, ident="a")
    run.advance(1)
    assert turns == [True]

    def moved() -> None:
        if len(turns) == 3:
            raise MovedError

    with pytest.raises(MovedError):  # between the two pauses before the second frame
        run.advance(2, between=moved)
    assert (run.have, run.failures, turns) == (1, 0, [True, False, False])
    assert run.advance(2) == [0, 1]
    assert (source.made, len(turns)) == (1, 4)  # it went on from there; each step has its own turn


def test_permits_are_counted() -> None:
    semaphore = FairSemaphore(2)
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with semaphore.turn():
                with lock:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.0005)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert (inside, most) == (0, 2)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "pull",
        [1, 2],
        {},
        {"run": "other", "have": 0, "ask": 4},
        {"run": "a", "have": "0", "ask": 4},
        {"run": "a", "have": 0.0, "ask": 4},
        {"run": "a", "have": True, "ask": 4},
        {"run": "a", "have": -1, "ask": 4},
        {"run": "a", "have": 0, "ask": -4},
        {"run": "a", "have": 0, "ask": None},
        {"run": "a", "have": 0},
    ],
)
def test_what_is_no_pull_is_ignored(message: object) -> None:
    assert parse_pull(message, run="a", total=50) is None


def test_a_pull_is_capped() -> None:
    assert parse_pull({"run": "a", "have": 3, "ask": 6}, run="a", total=50) == Pull("a", 3, 6)
    huge = {"run": "a", "have": 10**30, "ask": 10**30}
    assert parse_pull(huge, run="a", total=50) == Pull("a", 50, MAX_ASK)


def test_runs_are_kept_by_last_use() -> None:
    kept = Runs(keep=2)
    a = kept.open("a", Counter(), 20)
    kept.open("b", Counter(), 20)
    assert kept.open("a", Counter(), 20) is a
    kept.open("c", Counter(), 20)  # b goes, it was used least lately
    assert kept.open("a", Counter(), 20) is a
    assert len(kept) == 2
    assert kept.open("a", Counter(), 19) is not a
