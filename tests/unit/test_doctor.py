"""`npu-conformance doctor`: findings a line each, and a config.json that fits its weights again."""

import json
from pathlib import Path

import pytest

from npu_conformance.cli import main

from .tiny_checkpoints import LLAMA, llama, write

WRONG = LLAMA | {"hidden_size": 80, "num_hidden_layers": 6, "layer_types": ["full_attention"] * 6}


def test_a_healthy_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, 0; nothing to fix, and nothing written."""
    write(tmp_path, LLAMA, llama())

    assert main(["doctor", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: nothing wrong in config.json and the headers of 1 files\n"

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'config.json'}: nothing to fix")
    assert not list(tmp_path.glob("*.bak*"))


def test_findings_are_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With their levels; 1 for an error, 0 without."""
    write(tmp_path, LLAMA | {"hidden_size": 80, "tie_word_embeddings": True}, llama())

    assert main(["doctor", str(tmp_path)]) == 1
    error, note = capsys.readouterr().out.splitlines()
    assert error.startswith("error: config.json: hidden_size is 80, the weights say 64")
    assert note.startswith("note: lm_head.weight: stored although")

    write(tmp_path, LLAMA | {"tie_word_embeddings": True}, llama())
    assert main(["doctor", str(tmp_path)]) == 0


def test_what_cannot_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr."""
    assert main(["doctor", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"ERROR: {tmp_path / 'config.json'}: missing; the checkpoint folder needs it\n"


@pytest.mark.parametrize("nested", [False, True])
def test_the_config_is_fixed_where_its_values_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nested: bool
) -> None:
    """Other values stay, the old file is kept, and the folder is healthy afterwards."""
    config = {"model_type": "outer", "hidden_size": 1, "text_config": WRONG} if nested else WRONG
    write(tmp_path, config, llama())
    before = (tmp_path / "config.json").read_bytes()

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 0

    fixed = WRONG | {"hidden_size": 64, "num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}
    assert json.loads((tmp_path / "config.json").read_bytes()) == (config | {"text_config": fixed} if nested else fixed)
    assert (tmp_path / "config.json.bak").read_bytes() == before
    path = tmp_path / "config.json"
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: hidden_size: 80 -> 64",
        f"{path}: num_hidden_layers: 6 -> 4",
        f"{path}: layer_types: 6 -> 4",
        f"{path}: written; the old one is config.json.bak",
        f"{tmp_path}: nothing wrong in config.json and the headers of 1 files",
    ]


def test_a_backup_is_never_overwritten(tmp_path: Path) -> None:
    """The next one gets a number."""
    for number, name in enumerate(["config.json.bak", "config.json.bak1", "config.json.bak2"]):
        write(tmp_path, LLAMA | {"hidden_size": 80 + number}, llama())
        assert main(["doctor", str(tmp_path), "--fix-config"]) == 0
        assert json.loads((tmp_path / name).read_bytes())["hidden_size"] == 80 + number

    assert json.loads((tmp_path / "config.json.bak").read_bytes())["hidden_size"] == 80


def test_a_link_into_a_cache_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    """Hub caches link config.json to a file that is named by its digest."""
    folder = write(tmp_path / "model", WRONG, llama())
    (folder / "config.json").rename(tmp_path / "blob")
    (folder / "config.json").symlink_to(tmp_path / "blob")

    assert main(["doctor", str(folder), "--fix-config"]) == 0
    assert json.loads((tmp_path / "blob").read_bytes()) == WRONG
    assert json.loads((folder / "config.json").read_bytes())["hidden_size"] == 64


def test_errors_that_a_config_cannot_mend_remain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1, with what is left."""
    shapes = llama()
    del shapes["model.layers.1.self_attn.q_proj.weight"]
    write(tmp_path, WRONG, shapes)

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("error: model.layers.1: has no self_attn.q_proj.weight")
