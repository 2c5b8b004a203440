"""A class at once: sessions that move sliders, and sessions that sample, at one server.

`python -m benchmarks.classroom 10 30 60` starts a server for each number of sessions; ten more
sample meanwhile. `--capacity` looks for each page's capacity alone, `--churn 300` opens and leaves
300 sessions, `--flag=--runner.postScriptGC=true` asks what a setting is good for. Tables are
Markdown on the standard output, progress goes to the other one, so that `> class.md` keeps the
tables. Readers speak Streamlit's websocket protocol, which costs little beside the server; nothing
else should run on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import NamedTuple

from benchmarks.streamlit_client import ASK, TTL, Reader, Server, reading, served


class Moved(NamedTuple):
    """A page and the slider that is moved there, one that the server answers."""

    page: str
    key: str
    query: str = ""


PAGES = (
    Moved("forward_process", "T"),
    Moved("noise_schedules", "T"),
    Moved("posterior", "T"),
    Moved("why_a_model", "wT"),
    Moved("x0_vs_eps", "xgamma", "xview=Loss+weights"),
    Moved("elbo", "eb_T"),
    Moved("learned_schedule", "ls_path"),
    Moved("transition_matrices", "tt"),
    Moved("discrete_posterior", "dT"),
    Moved("reverse_rules", "ruT"),
    Moved("entropy", "enapart", "enview=Two+orders"),
    Moved("vae", "vax"),
    Moved("score", "sclevel"),
    Moved("guidance", "guscale"),
    Moved("cold_diffusion", "cot"),
    Moved("latent_diffusion", "ldfactor", "ldview=Scale"),
    Moved("conventions", "ct"),
    Moved("formula_detective", "d1_t"),
)
"""The mix: sessions are dealt out to these pages in turn."""
ALONE = (
    *PAGES,
    Moved("reverse_sampling", "steps"),
    Moved("discrete_sampling", "dssteps"),
    Moved("hierarchical_vae", "hvT"),
)
"""Each page's capacity is looked for; a move on the last three begins another run or training."""
SAMPLING = "reverse_sampling"
EVERY = 1.0  # seconds between two moves of one session
SECONDS = 20.0  # of moving sliders, once all sessions are open
LIMIT_MS = 200.0  # allowed 95th percentile
LIMIT_MB = 690.0  # allowed memory
ROUND = 5.0  # seconds of moving sliders, per number of sessions that is tried
ROUNDS = 4
MOST = 120  # sessions that are tried
AT_ONCE = 6  # sessions that open their page at the same time
VISITORS = 3  # sessions that are open at the same time while sessions come and go
CHURN_SECONDS = 170.0

Times = dict[tuple[str, str], list[float]]


def p95(seconds: Iterable[float]) -> float:
    """The 95th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return 1e3 * ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


def told(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def marked(value: float, limit: float) -> str:
    """A whole number, with a cross where it is above what is allowed."""
    return f"{value:.0f}{' ✗' if value > limit else ''}"


def attempted(what: str, measure: Callable[[], None]) -> None:
    """Measure; where that fails, say so and let the rest be measured."""
    told(what)
    try:
        measure()
    except Exception as error:
        causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        print(f"\n✗ {what}: {', '.join(sorted({repr(cause) for cause in causes}))}", flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table; the first column is text, the others are numbers."""
    print("\n| " + " | ".join(head) + " |\n|---" + "|---:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


async def moving(reader: Reader, key: str, index: int, start: float, seconds: float) -> list[float]:
    """Move a slider once a second until the time is over; returns the answers' seconds."""
    await asyncio.sleep(EVERY * (index * 0.618 % 1))  # a class does not click in step
    times = []
    for number in itertools.count(17 * index):  # nor does it look at the same things
        times.append(await reader.move(key, number))
        if reader.failed:
            raise RuntimeError(f"{reader.page} shows an error")
        if time.perf_counter() > start + seconds:
            return times
        await asyncio.sleep(max(0.0, EVERY - times[-1]))
    return times


async def sampling(reader: Reader, start: float, seconds: float, times: Times) -> None:
    """Sample one run after the other, asking for frames as soon as the last ones are there.

    The real player asks only when fewer than twelve frames lie ahead: this is the worst of it.
    """
    while time.perf_counter() < start + seconds:
        have, total = 0, 1
        while have < total and time.perf_counter() < start + seconds:
            times["sample", f"{SAMPLING}: up to {ASK} steps"].append(await reader.pull(have))
            header = reader.header()
            have, total = header["start"] + header["n"], header["total"]
        await reader.press("Other noise")


async def opened(
    stack: AsyncExitStack, servers: Sequence[Server], pages: Sequence[tuple[str, str]], times: Times
) -> list[Reader]:
    """Open sessions on these pages and queries, dealt out over the servers, a few at a time."""
    door = asyncio.Semaphore(AT_ONCE)

    async def enter(server: Server, page: str, query: str) -> Reader:
        async with door:
            reader: Reader = await stack.enter_async_context(reading(server, page))
            times["open", page].append(await reader.open(query))
            return reader

    dealt = zip(itertools.cycle(servers), pages)
    return list(await asyncio.gather(*(enter(server, *page) for server, page in dealt)))


def largest(servers: Sequence[Server]) -> tuple[float, int]:
    """Memory in MB and threads of the process that has most."""
    return max(s.megabytes() for s in servers), max(s.threads() for s in servers)


async def hold_class(
    servers: Sequence[Server], sessions: int, samplers: int
) -> tuple[Times, float, int]:
    """Run all readers; returns their times, and the servers' memory and threads at the end."""
    times: Times = defaultdict(list)
    mix = [PAGES[i % len(PAGES)] for i in range(sessions)]
    async with AsyncExitStack() as stack:
        readers = await opened(stack, servers, [(m.page, m.query) for m in mix], times)
        benches = await opened(
            stack, servers, [(SAMPLING, f"seed={i}") for i in range(samplers)], times
        )
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            moves = [
                group.create_task(moving(reader, moved.key, index, start, SECONDS))
                for index, (reader, moved) in enumerate(zip(readers, mix, strict=True))
            ]
            for bench in benches:
                group.create_task(sampling(bench, start, SECONDS, times))
        for moved, task in zip(mix, moves, strict=True):
            times["move", f"{moved.page}: {moved.key}"] += task.result()
        return times, *largest(servers)


def class_of(sessions: int, samplers: int, processes: int, flags: Sequence[str]) -> None:
    """Measure one class on fresh servers and print what it found."""
    with ExitStack() as stack:
        servers = [stack.enter_context(served(*flags)) for _ in range(processes)]
        fresh = largest(servers)
        times, *full = asyncio.run(hold_class(servers, sessions, samplers))
        time.sleep(3 * TTL)
        left = largest(servers)
    print(
        f"\n{sessions} sessions move a slider every {EVERY:g} s, {samplers} sample, "
        f"{processes} process{'es' if processes > 1 else ''}:"
    )
    moves = [t for (kind, _), values in times.items() if kind == "move" for t in values]
    rows = [("**all moves**", moves)] + [
        (f"{kind} {what}", values) for (kind, what), values in sorted(times.items())
    ]
    table(
        ("milliseconds", "answers", "median", "95 %"),
        (
            (
                what,
                len(values),
                f"{1e3 * statistics.median(values):.0f}",
                marked(p95(values), LIMIT_MS if values is moves else math.inf),
            )
            for what, values in rows
        ),
    )
    names = ("server started", "all sessions open", "all have left")
    table(
        ("memory of the largest process", "MB", "threads"),
        (
            (name, marked(megabytes, LIMIT_MB), threads)
            for name, (megabytes, threads) in zip(names, (fresh, full, left), strict=True)
        ),
    )


async def capacity(server: Server, moved: Moved) -> tuple[int, float, str]:
    """Sessions on one page until its 95th percentile passes the limit.

    Returns:
        The most that stayed within it; the server's CPU milliseconds per move; and what was tried.
    """
    good, bad, tried, cost = 0, MOST + 1, [], 0.0
    times: Times = defaultdict(list)
    async with AsyncExitStack() as stack:
        readers: list[Reader] = []
        sessions = 8
        for _ in range(ROUNDS):
            missing = [(moved.page, moved.query)] * (sessions - len(readers))
            readers += await opened(stack, [server], missing, times)
            start, cpu = time.perf_counter(), server.cpu_seconds()
            answers = await asyncio.gather(
                *(moving(r, moved.key, i, start, ROUND) for i, r in enumerate(readers[:sessions]))
            )
            flat = [t for part in answers for t in part]
            took = p95(flat)
            cost = cost or 1e3 * (server.cpu_seconds() - cpu) / len(flat)
            tried.append(f"{sessions}: {took:.0f}")
            told(f"    {moved.page} {tried[-1]} ms, {cost:.0f} ms CPU per move")
            if took <= LIMIT_MS:
                good = max(good, sessions)
            else:
                bad = min(bad, sessions)
            if bad - good <= 1 or good >= MOST:
                break
            # The script holds the interpreter: full use of one core is the first guess.
            guess = round(0.9e3 / cost) if len(tried) == 1 else round(1.4 * good)
            sessions = min(MOST, max(good + 1, guess)) if bad > MOST else (good + bad) // 2
    return good, cost, ", ".join(tried)


def capacities(flags: Sequence[str]) -> None:
    """Measure each page alone and print the table."""
    with served(*flags) as server:
        rows = []
        for moved in ALONE:
            try:
                good, cost, tried = asyncio.run(capacity(server, moved))
            except Exception as error:  # the other pages' figures are worth having
                good, cost, tried = 0, 0.0, f"✗ {error!r}"
            most = f"{good} or more" if good >= MOST else good
            rows.append((f"{moved.page}: {moved.key}", most, f"{cost:.0f}", tried))
    head = ("page: slider", "sessions", "ms of CPU per move", "tried: 95th percentile, ms")
    table(head, sorted(rows, key=lambda row: int(str(row[1]).split()[0])))


async def visit(server: Server, index: int) -> None:
    """Open a page, move its slider or begin to sample, and leave without a word."""
    if index % (len(PAGES) + 1) == len(PAGES):
        async with reading(server, SAMPLING) as reader:
            await reader.open(f"seed={index}")
            await reader.pull(0)
        return
    moved = PAGES[index % (len(PAGES) + 1)]
    async with reading(server, moved.page) as reader:
        await reader.open(moved.query)
        for number in range(3):
            await reader.move(moved.key, 5 * index + number)


async def come_and_go(server: Server, visits: int) -> list[tuple[int, float, int]]:
    """Let sessions come and go, a few at a time; returns (visits, memory, threads) on the way."""
    upcoming, end = iter(range(visits)), time.monotonic() + CHURN_SECONDS
    seen: list[tuple[int, float, int]] = []

    async def visitor() -> None:
        for index in upcoming:
            if time.monotonic() > end:
                return
            await visit(server, index)
            if (index + 1) % max(1, visits // 10) == 0:
                seen.append((index + 1, server.megabytes(), server.threads()))
                told("    {} visits: {:.0f} MB, {} threads".format(*seen[-1]))

    await asyncio.gather(*(visitor() for _ in range(VISITORS)))
    return seen


def churn(visits: int, flags: Sequence[str]) -> None:
    """Measure memory while sessions come and go."""
    with served(*flags) as server:
        rows = asyncio.run(come_and_go(server, visits))
        time.sleep(3 * TTL)
        rows.append((rows[-1][0] if rows else 0, server.megabytes(), server.threads()))
    names = [f"after {count}" for count, *_ in rows[:-1]] + ["all have left"]
    table(
        ("visits", "MB", "threads"),
        ((name, marked(row[1], LIMIT_MB), row[2]) for name, row in zip(names, rows, strict=True)),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="*", help="numbers of sessions, one run each")
    parser.add_argument("--sampling", type=int, default=10, help="sessions that sample meanwhile")
    parser.add_argument("--processes", type=int, nargs="+", default=[1], help="replicas")
    parser.add_argument("--capacity", action="store_true", help="each page alone")
    parser.add_argument("--churn", type=int, default=0, help="sessions that come and go")
    parser.add_argument("--flag", action="append", default=[], help="of Streamlit's, to compare")
    arguments = parser.parse_args()
    flags, samplers = arguments.flag, arguments.sampling
    for sessions in arguments.sessions:
        for processes in arguments.processes:
            what = f"{sessions} sessions, {samplers} sampling, {processes} processes"
            attempted(what, functools.partial(class_of, sessions, samplers, processes, flags))
    if arguments.capacity:
        attempted("capacity", lambda: capacities(flags))
    if arguments.churn:
        attempted("sessions come and go", lambda: churn(arguments.churn, flags))


if __name__ == "__main__":
    main()
