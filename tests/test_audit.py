"""Known vulnerabilities, where only a package's own page can be had."""

from __future__ import annotations

from typing import Any

import pytest

from tools.audit_newest import main


def page(version: str, *ids: str, withdrawn: str = "") -> dict[str, Any]:
    told = [{"id": one, "withdrawn": None} for one in ids]
    told += [{"id": withdrawn, "withdrawn": "2026-01-01T00:00:00Z"}] if withdrawn else []
    return {"info": {"version": version}, "vulnerabilities": told}


PAGES = {
    "clean": page("1.0"),
    "bad": page("2.0", "PYSEC-1", "GHSA-2"),
    "older": page("3.1"),
    "taken-back": page("4.0", withdrawn="PYSEC-3"),
    "bare": {"info": {"version": "5.0"}},
}
PINS = {"clean": "1.0", "bad": "2.0", "older": "3.0", "taken-back": "4.0", "bare": "5.0", "no": "6"}


def asked(names: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main([f"{name}=={PINS[name]}" for name in names], lambda name: PAGES.get(name, {}))
    return status, capsys.readouterr().out


def test_a_finding_is_named_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = asked(list(PINS), capsys)
    assert status == 1
    assert "bad==2.0: PYSEC-1, GHSA-2" in said
    assert "Of 6 packages 3 are pinned at their newest release, 1 of them with" in said
    assert said.endswith("asked for: older==3.0, bare==5.0, no==6.\n")


def test_what_was_withdrawn_is_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = asked(["clean", "taken-back"], capsys)
    assert status == 0
    assert "2 are pinned at their newest release, 0 of them" in said
    assert said.endswith("asked for: none.\n")


def test_nothing_to_be_had_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = asked(["older", "no"], capsys)
    assert status == 0
    assert "out of reach: the packages were not audited" in said
