"""The views of the page about discrete sampling that measure: the bound twice, and the quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.shared import chapter, discrete_ledger, discrete_quality
from pages.shared import discrete_networks as networks
from pages.shared.discrete_bench import Row
from pages.shared.discrete_networks import Net
from pages.shared.discrete_views import network_menu, opened, order_menu
from pages.shared.ledger import choose_digit
from pages.shared.numbers import plus_minus
from pages.shared.player import follow, player, session_runs
from pages.shared.runs import LiveRun


def digit_controls() -> tuple[np.ndarray, str, int | None]:
    """The picture x_0, what it is, and its class where that is known."""
    picture, notes = choose_digit()
    for note in notes:
        st.caption(note)
    known = st.session_state.get("source", "gallery") == "gallery"
    pixels = picture.pixels if picture.pixels.ndim == 2 else picture.pixels.mean(-1)
    return pixels.astype(np.uint8), picture.about, st.session_state["digit"] if known else None


def ledger_view(names: Sequence[str]) -> None:
    """The bound of one digit, term by term."""
    stage, side = st.columns([5, 2], gap="large")
    with side:
        pixels, what, label = digit_controls()
        name = network_menu(names)
        seed = st.number_input("Seed", 0, 9999, 0, key="dsseed", bind="query-params")
        net = opened(name)
    if net is None:
        return
    told = label if net.about.conditional else None
    x0, parts = net.states(pixels, seed), discrete_ledger.parts_of(net)
    live: LiveRun[discrete_ledger.Line] = session_runs().open(
        repr(("ledger", networks.sha_of(name), pixels.tobytes(), told, seed)),
        lambda: discrete_ledger.lines(net, x0, told, seed),
        len(parts),
    )
    with stage:
        follow(
            live,
            lambda own, first: discrete_ledger.draw(own, first, live.frames(), net),
            key="ds_ledger",
            scale=5,
            autoplay=True,
            ends=("next to the picture", "noise"),
            ticks=discrete_ledger.ticks(net),
            report_frame=False,
            label=f"The cost of {what}, over the steps t",
        )
        sums(net, live, discrete_ledger.prior_nats(net, x0))


def sums(net: Net, live: LiveRun[discrete_ledger.Line], prior: float) -> None:
    """What the terms add up to, as far as they are known."""
    own = live.frames()
    first, later = own[0].nats, sum(line.nats for line in own[1:])
    total = first + later + prior
    steps = "all later steps" if live.complete else f"steps {own[0].last + 1} to {own[-1].last}"
    chapter.prose(
        f"Nats: L₀ **{first:.4g}** + {steps} **{later:.4g}** + $L_T$ **{prior:.3g}**. "
        f"{'Together' if live.complete else 'So far'} **{total:,.1f} nats = "
        f"{discrete_ledger.bits_per(net, total):.3f} bits per {net.element}"
        f"{'' if net.about.tokens else ' (bits/dim)'}**."
    )
    scale = (
        f"A {net.element} has {net.levels} states; without a model, naming one costs, in bits, "
        f"log₂ {net.levels} = {np.log2(net.levels):.3g}. A figure for another number of states "
        "can't be set beside it. Each bar is one draw of $x_t$, or the mean of a few steps."
    )
    if net.about.tokens:
        scale += " These are bits of tokens: what the VQ-VAE loses is not in them."
    st.caption(scale + on_card(net))


def on_card(net: Net) -> str:
    """The card's bound on test digits, where it was measured."""
    for metric in net.card.fields.get("metrics") or []:
        if isinstance(metric, dict) and "bits" in str(metric.get("name")):
            value, error = f"{metric['value']:.4g}", metric.get("standard_error")
            if isinstance(error, float):
                value = plus_minus(value, f"{error:.2g}")
            return (
                f" On {metric.get('samples'):,} test digits it is {value} "
                "on average, says its [card](/model_cards)."
            )
    return " Its card has no figure for test digits yet."


def masked_view(names: Sequence[str]) -> None:
    """The bound's terms as divergences and as weighted cross entropy, set against each other."""
    able = [name for name in names if networks.about(name).kernel == "absorbing"]
    nets = [net for name in able if (net := opened(name)) is not None and net.orders]
    if not nets:
        st.info(
            "This view needs an absorbing network whose [MASK] is no state of the data. There is "
            "none in pretrained/.",
            icon=":material/hourglass_empty:",
        )
        return
    net = nets[0]
    stage, side = st.columns([5, 2], gap="large")
    with side:
        pixels, what, label = digit_controls()
        seed = st.number_input("Seed", 0, 9999, 0, key="dsseed", bind="query-params")
        st.caption(f"Network {net.about.name}, T = {net.T}.")
    told = discrete_ledger.both_ways(
        net.about.name,
        networks.sha_of(net.about.name),
        pixels.tobytes(),
        label if net.about.conditional else None,
        seed,
    )
    panels, said, curves = discrete_ledger.draw_both(told, net)
    with stage:
        player(
            panels,
            key="ds_masked",
            total=len(said),
            captions=said,
            curves=curves,
            scale=6,
            frame=len(said) // 3,
            ends=("next to the picture", "all masked"),
            report_frame=False,
            label=f"Two ways to one term, for {what}",
        )
        even = np.abs(told.weight * told.t - 1).max()
        chapter.prose(
            f"Over {len(said)} steps and all pixels, the two ways differ by at most "
            f"**{told.residual.max():.0e} nats**: they are one thing, to rounding. The weight is "
            f"the chance that a masked pixel is shown in this step, and with this network's betas "
            f"it is 1/t (to {even:.0e})."
        )


def quality_view(names: Sequence[str]) -> None:
    """The card's figures and a small live count."""
    one, two = st.columns(2, vertical_alignment="bottom", gap="medium")
    with one:
        name = network_menu(names)
    net = opened(name)
    with two:
        order = order_menu(net is not None and net.orders)
    if net is not None:
        discrete_quality.section(Row(net, order), networks.sha_of(name))
