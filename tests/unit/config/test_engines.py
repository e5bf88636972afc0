"""Engines are folders with capabilities; nothing else knows them by name."""

import ast
import dataclasses
from pathlib import Path

import pytest

import npu_conformance
from npu_conformance.config.engines import DEFAULT, Engine, engine, engine_names
from npu_conformance.errors import ConfigError
from npu_conformance.run.settings import Settings

SOURCE = Path(npu_conformance.__file__).parent


def test_each_folder_says_what_its_engine_can_do() -> None:
    """And has what the worker calls."""
    assert {DEFAULT, "transformers"} <= set(engine_names())
    for name in engine_names():
        tree = ast.parse((SOURCE / "engines" / name / "engine.py").read_text(encoding="utf-8"))
        assert isinstance(engine(name), Engine)
        assert "run" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert engine("vllm").serve_options
    assert not engine("transformers").serve_options
    assert not engine("transformers").forced_decode


def test_an_engine_of_another_version_is_taken_for_the_default() -> None:
    """A report that names it can still be judged again."""
    assert engine("older") is engine(DEFAULT)


@pytest.mark.parametrize("name", engine_names())
def test_no_file_asks_for_an_engine_by_its_name(name: str) -> None:
    """Whoever adds one touches its folder alone."""
    asking = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(side, ast.Constant) and side.value == name for side in (node.left, *node.comparators))
    ]

    # There it is a package.
    packages = ("machine/provenance.py", "commands/doctor/versions.py", "workers/vllm_command.py")
    assert [place for place in asking if not place.startswith(packages)] == []


def test_an_engine_says_what_rows_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few words no baseline can be made, which is said before anything starts."""
    assert {engine(name).rows for name in ("vllm", "transformers")} == {"full"}
    assert engine("openai").rows == "topk"
    few = dataclasses.replace(engine("transformers"), rows="topk")
    monkeypatch.setattr("npu_conformance.run.settings.engine", lambda _: few)

    Settings(configs=Path(), candidate="transformers").check()
    with pytest.raises(ConfigError, match="--baseline=create: transformers gives only the likeliest tokens"):
        Settings(configs=Path(), candidate="transformers", baseline="create").check()
