"""Weights and cards: what is written is read back, what was tampered with is refused."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from diffusion_core import checkpoints
from diffusion_core.checkpoints import (
    CheckpointError,
    fastest_dtype,
    load_module,
    pick_device,
    read_card,
    save_network,
    write_atomically,
)
from diffusion_core.hashes import SEAL, sealed
from diffusion_core.recipes import RECIPES


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A root folder with an untrained classifier in it."""
    torch.manual_seed(0)
    fields = {"name": "classifier", "recipe": asdict(RECIPES["classifier"])}
    save_network(RECIPES["classifier"].build(), fields, tmp_path / "classifier")
    return tmp_path


def test_a_network_comes_back_as_it_was(shipped: Path) -> None:
    torch.manual_seed(0)
    original = RECIPES["classifier"].build()
    module, card = load_module("classifier", "cpu", shipped)
    for name, value in module.state_dict().items():
        assert torch.equal(value, original.state_dict()[name].half().float())
    assert card.fields["parameters"] == sum(p.numel() for p in original.parameters())
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_changed_weights_are_refused(shipped: Path) -> None:
    path = shipped / "classifier" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="restore pretrained/"):
        load_module("classifier", "cpu", shipped)


def test_a_changed_card_is_refused(shipped: Path) -> None:
    path = shipped / "classifier" / "card.json"
    card = json.loads(path.read_text()) | {"sha256": "0" * 64}
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="was changed"):
        load_module("classifier", "cpu", shipped)
    path.write_text(json.dumps(sealed(card)))
    with pytest.raises(CheckpointError, match="not the file its card describes"):
        load_module("classifier", "cpu", shipped)


@pytest.mark.parametrize("edit", [{"parameters": 1}, {"new": None}, {SEAL: "0" * 64}, {SEAL: None}])
def test_a_card_edited_by_hand_is_refused(shipped: Path, edit: dict) -> None:
    path = shipped / "classifier" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(CheckpointError, match="was changed"):
        read_card("classifier", shipped)


def test_a_card_set_in_another_way_is_the_same_card(shipped: Path) -> None:
    path = shipped / "classifier" / "card.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(fields.items())), indent=1))
    assert read_card("classifier", shipped).fields == fields


def test_a_network_trained_with_another_one_is_refused(shipped: Path) -> None:
    path = shipped / "classifier" / "card.json"
    fields = json.loads(path.read_text())
    for needed, refused in ((fields["sha256"], False), ("0" * 64, True)):
        path.write_text(json.dumps(sealed(fields | {"needs": {"classifier": needed}})))
        with pytest.raises(CheckpointError, match="another") if refused else nullcontext():
            load_module("classifier", "cpu", shipped)


def test_a_card_of_another_recipe_is_refused(shipped: Path) -> None:
    path = shipped / "classifier" / "card.json"
    card = json.loads(path.read_text())
    card["recipe"]["seed"] = 99
    path.write_text(json.dumps(sealed(card)))
    with pytest.raises(CheckpointError, match="another recipe"):
        load_module("classifier", "cpu", shipped)


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", "\x00"])
def test_a_broken_card_is_a_sentence(shipped: Path, text: str) -> None:
    (shipped / "classifier" / "card.json").write_text(text)
    with pytest.raises(CheckpointError, match="card"):
        load_module("classifier", "cpu", shipped)


def test_missing_and_unknown_networks_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not here"):
        load_module("classifier", "cpu", tmp_path)
    with pytest.raises(CheckpointError, match="no network called"):
        load_module("../../etc", "cpu", tmp_path)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_devices_and_precisions() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {"cpu", "cuda"}
    assert fastest_dtype(torch.device("cpu")) in {torch.float32, torch.bfloat16}
    assert checkpoints.PRETRAINED.name == "pretrained"
