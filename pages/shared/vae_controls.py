"""Controls that several views of the page on the VAE have."""

from __future__ import annotations

import streamlit as st

from pages.shared.vae_facts import DEFAULT


def row() -> st.delta_generator.DeltaGenerator:
    """A row of controls."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="small")


def digit() -> int:
    """Which digit x is."""
    return st.number_input("Digit x", 0, 9, DEFAULT, key="vadigit", bind="query-params", width=84)


def variant() -> int:
    """Which of its pictures, from 0."""
    return st.number_input("Variant", 1, 20, 1, key="varow", bind="query-params") - 1


def seed() -> int:
    """Of the draws."""
    return st.number_input("Seed", 0, 9999, 0, key="vaseed", bind="query-params")


def other_variant() -> int:
    """The variant, behind More."""
    with st.expander("More: another variant of the digit"):
        left, _ = st.columns(2, gap="large")
        with left:
            return variant()
