"""`npu-conformance check`: every config is looked at; and what commands say of a config that is not there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.__main__ import main

Check = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def check(own_configs: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Status, output and errors of `check`, after configs were written."""

    def run(*names: str, **texts: str) -> tuple[int, list[str], list[str]]:
        for name, text in texts.items():
            (own_configs / f"{name}.yaml").write_text(text)
        status = main(["check", *names, "--configs", str(own_configs)])
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return run


def test_a_bad_config_does_not_hide_the_others(check: Check) -> None:
    """Each has its line; the exit status says that one is bad."""
    status, found, errors = check(
        A="model: a/b",
        B="- model",
        C="model: a/b\nserve: {dtype: float16}\ntwin: qwen3-guard",
        D="model: a/b\nscheme: w8a8\nreference: {model: a/c}",
    )

    assert status == 4
    assert found == [
        "A: 44 prompts, limits of bfloat16",
        "C: 44 prompts, limits of float16, twin qwen3-guard",
        "D: 44 prompts, limits of w8a8",
    ]
    assert len(errors) == 1
    assert errors[0].endswith("B.yaml: expected a mapping of keys to values, found a list")
    assert check("A", "C")[0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("promts: [guard]", "Bad.yaml: promts: unknown key; did you mean 'prompts'?"),
        ("limits: {kl_mean: {value: small, reason: because it is}}", "kl_mean.value: expected number"),
        ("prompts: [generel]", "Bad.yaml: prompts: no set named 'generel': "),
        ("prompts: [generel]", "does not exist; did you mean 'general'? (sets there: "),
        ("twin: nonsense", "Bad.yaml: twin: no recipe 'nonsense'"),
    ],
)
def test_what_a_config_names_is_looked_at_too(check: Check, text: str, told: str) -> None:
    """Prompt sets and twins."""
    status, _, errors = check(Bad=f"model: a/b\n{text}")

    assert status == 4
    assert len(errors) == 1
    assert told in errors[0]


def test_nothing_to_look_at_is_an_error(check: Check, own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is missing or empty was mistaken, not checked."""
    assert check()[2] == [
        f"ERROR: --configs {own_configs}: has no model config: expected files such as {own_configs}/Qwen3-8B.yaml"
    ]
    assert main(["check", "--configs", str(own_configs / "none")]) == 4
    assert "none: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "Qwen3Guard"],
        ["dev", "suggest", "Qwen3Guard"],
        ["bisect", "Qwen3Guard"],
        ["capture", "Qwen3Guard", "-o", "none"],
        ["doctor", "Qwen3Guard"],
    ],
)
def test_a_name_that_is_none_is_answered_with_one_that_is(
    words: list[str],
    own_configs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By every command that takes one, before any folder is made."""
    monkeypatch.chdir(tmp_path)
    (own_configs / "Qwen3Guard-Gen-4B.yaml").write_text("model: a/b")

    assert main([*words, "--configs", str(own_configs)]) == 4
    (error,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'Qwen3Guard-Gen-4B'?" in error
    assert "(configs: Qwen3Guard-Gen-4B)" in error
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("command", ["check", "dev suggest", "bisect"])
def test_a_path_is_no_name(command: str, own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as one that a shell has completed."""
    path = own_configs / "A.yaml"
    path.write_text("model: a/b")

    assert main([*command.split(), str(path), "--configs", str(own_configs)]) == 4
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"ERROR: {path}: is a path, expected the name of a model that {own_configs} has a config")


def test_what_may_surprise_is_noted(check: Check) -> None:
    """And nothing is of what is usual."""
    status, found, _ = check(
        A="model: a/b\nserve: {quantization: awq, engine_args: {kv_cache_dtype: fp8}}",
        B="model: a/b\nserve: {quantization: compressed-tensors, engine_args: {kv_cache_dtype: auto}}",
        C="model: a/b\nvariants: [{name: cached, options: {kv_cache_dtype: fp8}}]",
    )

    assert status == 0
    assert [line.split(": ")[:3] for line in found if line.startswith("  note: ")] == [
        ["  note", "serve.quantization", "awq"],
        ["  note", "base", "kv_cache_dtype fp8"],
        ["  note", "as_served", "kv_cache_dtype fp8"],
        ["  note", "cached", "kv_cache_dtype fp8"],
    ]
    assert "vllm-ascend has no kernels for it; on an NPU serve a checkpoint of ascend or compressed-tensors" in found[1]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "1e99"])
def test_a_deadline_has_an_end(value: str, own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a beginning."""
    (own_configs / "A.yaml").write_text("model: a/b")

    assert main(["bisect", "A", "--configs", str(own_configs), f"--deadline={value}"]) == 4
    assert "expected seconds, more than 0, at most 2592000 (30 days)" in capsys.readouterr().err
