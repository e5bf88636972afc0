"""`npu-conformance doctor`: findings a line each, and a config.json that fits its weights again."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.checkpoint import Finding as CheckpointFinding
from npu_conformance.commands.doctor.checkpoint import checkpoint_area, unreadable
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

WRONG = LLAMA | {"hidden_size": 80, "num_hidden_layers": 6, "layer_types": ["full_attention"] * 6}


def test_a_tokenizer_that_the_library_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its own words: a kind of tokenizer that an older release does not know, merges that are lost."""
    write(tmp_path, LLAMA, llama())
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Newer", "vocab": {}}}')

    assert main(["doctor", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "error: tokenizer.json: the tokenizers library cannot read it: data did not match any variant"
    )
    assert line.endswith("download it again, or install a newer tokenizers")


def test_a_healthy_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, 0; nothing to fix, and nothing written."""
    write(tmp_path, LLAMA, llama())

    assert main(["doctor", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: nothing wrong in config.json and the headers of 1 files\n"

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'config.json'}: nothing to fix")
    assert not list(tmp_path.glob("*.bak*"))


def test_what_was_not_checked_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not that nothing is wrong."""
    write(tmp_path, LLAMA, llama() | {"visual.blocks.0.qkv.weight": ("BF16", (1,))})

    assert main(["doctor", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}: config.json and the headers of 1 files agree as far as they were checked",
        "not recognised: 1 tensors, visual.blocks.*.qkv.weight: shapes not checked",
    ]


def test_findings_are_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With their levels; 1 for an error, 0 without."""
    write(tmp_path, LLAMA | {"hidden_size": 80, "tie_word_embeddings": True}, llama())

    assert main(["doctor", str(tmp_path)]) == 1
    error, note = capsys.readouterr().out.splitlines()
    assert error.startswith("error: config.json: hidden_size is 80, the weights say 64")
    assert note.startswith("note: lm_head.weight: stored although")

    write(tmp_path, LLAMA | {"tie_word_embeddings": True}, llama())
    assert main(["doctor", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("message", "found", "remedy"),
    [
        (
            "M/a.json: a Git LFS pointer: run `git lfs pull` in M",
            "M/a.json: a Git LFS pointer",
            "run `git lfs pull` in M",
        ),
        ("M/x: 2: truncated: download it again", "M/x: 2: truncated", "download it again"),
        ("M/c.json: not JSON: line 1", "M/c.json: not JSON: line 1", "download the model again"),
    ],
)
def test_the_remedy_of_what_cannot_be_read_is_its_own(message: str, found: str, remedy: str) -> None:
    """A second download where it names none."""
    told = unreadable(CheckpointError(message))

    assert (told.found, told.remedy) == (found, remedy)


def test_what_cannot_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr."""
    assert main(["doctor", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"ERROR: {tmp_path / 'config.json'}: missing; the checkpoint folder needs it\n"


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_what_cannot_be_read_is_a_finding_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    """The one object that a script waits for."""
    if content is not None:
        write(tmp_path, LLAMA, llama())
        (tmp_path / "config.json").write_text(content)
    assert main(["doctor", str(tmp_path), "--json"]) == 1

    found = json.loads(capsys.readouterr().out)
    assert (found["target"], found["status"], found["counts"]["error"]) == (str(tmp_path), 1, 1)
    ((finding,),) = [area["findings"] for area in found["areas"]]
    assert finding["found"].startswith(f"{tmp_path / 'config.json'}: ")
    assert finding["remedy"] == ("download the model again" if content is None else "download it again")


@pytest.mark.parametrize(
    ("config", "shapes", "found", "remedy"),
    [
        (
            LLAMA | {"hidden_size": 80},
            llama(),
            "config.json: hidden_size is 80, the weights say 64: config and weights are not of the same model",
            "if the weights are the right ones, `npu-conformance doctor --fix-config {folder}` writes their values",
        ),
        (
            LLAMA,
            {name: shape for name, shape in llama().items() if name != "model.layers.1.self_attn.q_proj.weight"},
            "model.layers.1: has no self_attn.q_proj.weight, as most of the 4 layers of its kind have",
            "download the model again, or convert it again",
        ),
        (
            LLAMA | {"tie_word_embeddings": True},
            llama(),
            "lm_head.weight: stored although tie_word_embeddings is true: vLLM uses model.embed_tokens.weight instead, "
            "transformers 5 does so only where both are the same",
            "nothing, if it is meant so",
        ),
    ],
)
def test_a_remedy_stands_apart_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: Any, shapes: Any, found: str, remedy: str
) -> None:
    """A script reads it without the finding's text."""
    write(tmp_path, config, shapes)
    main(["doctor", str(tmp_path), "--json"])

    ((finding,),) = [area["findings"] for area in json.loads(capsys.readouterr().out)["areas"]]
    assert (finding["found"], finding["remedy"]) == (found, remedy.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("message", "found", "remedy"),
    [
        ("a is 1: is b right?", "a is 1", "find out: is b right?"),
        ("scale is [1]: quantise it again (3 more such)", "scale is [1] (3 more such)", "quantise it again"),
        ("unknown to it: it may refuse", "unknown to it: it may refuse", "correct config.json, or download"),
        ("bits is 4, but 8 is stored", "bits is 4, but 8 is stored", "correct config.json, or download"),
        ("read in fp16 only; it says bf16: serve it", "read in fp16 only; it says bf16", "serve it"),
    ],
)
def test_what_to_do_is_the_end_of_a_message(message: str, found: str, remedy: str) -> None:
    """Where it says what to do."""
    checkpoint = Checkpoint(Path("x"), {}, {}, (CheckpointFinding("suspicion", "part", message),))
    (finding,) = checkpoint_area(checkpoint).findings

    assert (finding.level, finding.found) == ("warning", f"part: {found}")
    assert finding.remedy.startswith(remedy)


@pytest.mark.parametrize("nested", [False, True])
def test_the_config_is_fixed_where_its_values_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nested: bool
) -> None:
    """Other values stay, the old file is kept, and the folder is healthy afterwards."""
    config = (
        {"architectures": ["A"], "model_type": "outer", "hidden_size": 1, "text_config": WRONG} if nested else WRONG
    )
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


def test_sizes_that_are_no_numbers_are_fixed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what the shapes say; doctor says so."""
    wrong = {
        "hidden_size": "64",
        "head_dim": {},
        "num_hidden_layers": 4.5,
        "num_attention_heads": 0,
        "vocab_size": True,
    }
    write(tmp_path, LLAMA | wrong, llama())
    assert main(["doctor", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("error: config.json: vocab_size is true, the weights say 50; hidden_size is '64', the wei")
    assert "`npu-conformance doctor --fix-config" in line

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 0
    assert json.loads((tmp_path / "config.json").read_bytes()) == LLAMA


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


def test_errors_that_a_config_cannot_correct_remain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1, with what is left."""
    shapes = llama()
    del shapes["model.layers.1.self_attn.q_proj.weight"]
    write(tmp_path, WRONG, shapes)

    assert main(["doctor", str(tmp_path), "--fix-config"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("error: model.layers.1: has no self_attn.q_proj.weight")
