"""A control's answer does not wait for a whole request of the player."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests

from pages.shared import player


def test_a_waiting_control_ends_the_answer_between_two_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With Streamlit's own queue of requests, into whose state the player looks."""
    requests = ScriptRequests()
    context = SimpleNamespace(script_requests=requests)
    monkeypatch.setattr(player, "get_script_run_ctx", lambda **_: context)
    player._look_up()
    requests.request_rerun(RerunData(fragment_id="the sliders"))
    with pytest.raises(player._ControlWaits):
        player._look_up()


def test_without_a_session_nothing_waits() -> None:
    player._look_up()
