"""What is said of a run of the bench, in names, a line and tables, and the files of it."""

from __future__ import annotations

import streamlit as st

from diffusion_core.checkpoints import Card
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.quality import network_calls
from pages.shared import bench, bench_tables, run_export
from pages.shared.runs import LiveRun


def made_by(rule: bench.Rule) -> str:
    """What stands over the pictures of a single run: which sampler the dial has made."""
    dialled = rule.sampler == "ddim" and rule.eta in (0, 1)  # in between, the name is η's value
    return f"{rule.name} (η = {rule.eta:g})" if dialled else rule.name


def titles(rules: list[bench.Rule]) -> list[str]:
    """What the rows are called; with their network where that differs."""
    if len({rule.network for rule in rules}) == 1:
        return [rule.name for rule in rules]
    return [f"{rule.network}: {rule.name}" for rule in rules]


def about(
    cards: list[Card], networks: dict[str, NetworkDenoiser], rules: list[bench.Rule], steps: int
) -> str:
    """One line under the exhibit: networks and their calls."""
    told = {}
    for card, rule in zip(cards, rules, strict=True):
        diffusion = networks[rule.network].diffusion
        training = "" if card.fields.get("status") == "final" else ", still in training"
        told[f"{card.name}{training}"] = f"{diffusion.schedule.name} schedule, T = {diffusion.T}"
    calls = [network_calls(networks[r.network].diffusion, r.sampler, steps) for r in rules]
    asked = " and ".join(str(n) for n in dict.fromkeys(calls))
    return (
        f"Network {'; '.join(f'{name}: {what}' for name, what in told.items())}. "
        f"Asked {asked} time{'s' if calls != [1] else ''} for each picture. "
        "How good it is stands on its [card](/model_cards)."
    )


def show_numbers(
    live: LiveRun[list[bench.Shot]],
    rules: list[bench.Rule],
    names: list[str],
    frame: int | None,
) -> None:
    """The table of numbers under the exhibit.

    Args:
        live: the run.
        rules: one per row.
        names: of the rows.
        frame: the one whose numbers are shown; None for all.
    """
    rows = list(zip(*([shot.numbers for shot in stop] for stop in live.frames()), strict=True))
    if frame is None:
        for row, name in zip(rows, names, strict=True):
            st.caption(name)
            st.html(bench_tables.all_steps(row, name))
    else:
        at = min(frame, live.have - 1)
        st.html(bench_tables.one_step([row[at] for row in rows], names))
    told = [
        f"{name}: {bench_tables.figure(bench_tables.farthest_from_euler(row))}"
        for row, name in zip(rows, names, strict=True)
    ]
    exact = [name for rule, name in zip(rules, names, strict=True) if rule.is_euler]
    euler = f"For {exact[0]} that is rounding: its step is Euler's step. " if exact else ""
    if any(rule.clip and not rule.rederive for rule in rules):
        euler += (
            "Where ε̂ is kept, the step goes from a clipped x̂₀ and an ε̂ that was not clipped: what "
            "clipping took away is missing."
        )
    st.caption(
        "Farthest that a step has landed from Euler's step on the probability-flow ODE (root mean "
        f"square per pixel, pixels run from −1 to 1): {'; '.join(told)}. " + euler
    )


def keep(
    live: LiveRun[list[bench.Shot]],
    times: list[int],
    names: list[str],
    start: bench.Start,
    rules: list[bench.Rule],
    cards: list[Card],
) -> None:
    """Files of this run; each is made when it is asked for.

    Args:
        live: the run.
        times: timesteps of its stops.
        names: of the rows.
        start: what all rows share.
        rules: one per row.
        cards: of the rules' networks.
    """
    shas = [card.fields["sha256"] for card in cards]
    code = run_export.Recipe(start, rules, [card.name for card in cards], shas)

    def whole() -> list[list[bench.Shot]]:
        return live.advance(live.total)

    files = {
        "GIF": ("gif", "image/gif", lambda: run_export.gif(whole(), times)),
        "PNG strip": ("png", "image/png", lambda: run_export.strip(whole(), times, names)),
        "CSV": ("csv", "text/csv", lambda: run_export.table(whole(), names)),
        "Script": ("py", "text/x-python", code.script),
        "Notebook": ("ipynb", "application/x-ipynb+json", code.notebook),
    }
    with st.container(horizontal=True, gap="small", key="bench_files", vertical_alignment="center"):
        st.markdown("Keep this run:", width="content")
        for label, (ending, mime, make) in files.items():
            st.download_button(
                label, make, f"reverse_sampling.{ending}", mime, key=f"keep_{ending}",
                on_click="ignore", type="tertiary", icon=":material/download:",
            )  # fmt: skip
