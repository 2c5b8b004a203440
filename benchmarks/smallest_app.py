"""The smallest page that answers: `benchmarks.browser` holds each of ours against it."""

import streamlit as st


@st.fragment
def answer() -> None:
    """A slider, and one line that follows it."""
    st.markdown(str(st.slider("Value", 0, 1000, 5, key="value")))


st.title("The smallest page")
answer()
