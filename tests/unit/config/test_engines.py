"""Engines are folders with capabilities; nothing else knows them by name."""

import ast
from pathlib import Path

import pytest

import npu_conformance
from npu_conformance.config.engines import DEFAULT, Engine, engine, engine_names

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
    packages = ("machine/provenance.py", "commands/doctor/versions.py")
    assert [place for place in asking if not place.startswith(packages)] == []
