"""When a twin is built anew: when something that makes it changed, and only then."""

import shutil
from pathlib import Path

import pytest

from npu_conformance.config.prompts import SHIPPED
from npu_conformance.errors import ConfigError
from npu_conformance.twins import RECIPES, digest, recipe_digest
from tests.unit.helpers.model_files import write_model

SOURCE = Path(digest.__file__).parent
QUANTISED = {"qwen3-fp8", "qwen3-gptq-int8", "qwen3-awq", "qwen3-w4a16", "qwen3-w8a8", "qwen3-fp8-dynamic"}
OF_ONE_KIND = {
    "adapter.py": {"qwen3.5-condenser", "derived-lora"},
    "derived.py": {"derived", "derived-fp8", "derived-lora"},
    "shrink.py": {"derived", "derived-fp8", "derived-lora"},
    "formats.py": QUANTISED | {"qwen3-modelslim", "derived-fp8"},
    "packed.py": QUANTISED | {"qwen3-modelslim", "derived-fp8"},
    "modelslim.py": {"qwen3-modelslim"},
    "ternary.py": {"bitcpm4"},
}
OF_NONE = {"__init__.py", "digest.py", "finding.py", "job.py", "recipes.py"}


@pytest.fixture
def names(tmp_path: Path) -> dict[str, str]:
    """A twin of every kind: what it is called here, and its recipe's name."""
    plain = write_model(tmp_path / "plain", "dense") / "config.json"
    lora = plain.with_name("adapter_config.json")
    lora.write_text('{"r": 4, "lora_alpha": 12}')
    stored = write_model(tmp_path / "fp8", "fp8") / "config.json"
    derived = {"derived": str(plain), "derived-fp8": str(stored), "derived-lora": str(lora)}
    return {name: name for name in RECIPES} | derived


def digests(names: dict[str, str]) -> dict[str, str]:
    """Of these twins."""
    return {called: recipe_digest(name, SHIPPED, {"torch": "2.13.0"}) for called, name in names.items()}


def test_code_that_makes_a_twin_builds_it_anew_and_no_other(
    tmp_path: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every edit of how models are made small would train the suite's own twins again."""
    copy = Path(shutil.copytree(SOURCE, tmp_path / "source"))
    monkeypatch.setattr(digest, "_SOURCE", copy)
    before = digests(names)
    for path in sorted(copy.glob("*.py")):
        content = path.read_bytes()
        path.write_bytes(content + b"# changed\n")
        after = digests(names)
        path.write_bytes(content)
        changed = {called for called in names if after[called] != before[called]}
        assert changed == (set() if path.name in OF_NONE else OF_ONE_KIND.get(path.name, set(names))), path.name
    assert digests(names) == before
    assert {*OF_NONE, *OF_ONE_KIND} < {path.name for path in copy.glob("*.py")}


def test_a_new_file_is_covered_by_all(tmp_path: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is known whom it makes."""
    monkeypatch.setattr(digest, "_SOURCE", Path(shutil.copytree(SOURCE, tmp_path / "source")))
    before = digests(names)
    (tmp_path / "source" / "later.py").write_text("")
    after = digests(names)

    assert all(after[called] != before[called] for called in names)


def test_a_models_files_may_be_moved(tmp_path: Path, names: dict[str, str]) -> None:
    """The twin is the same wherever its config.json lies, and so is its LoRA's."""
    moved = Path(shutil.copytree(tmp_path / "plain", tmp_path / "elsewhere" / "plain"))
    own = digests(names)
    for called, file in (("derived", "config.json"), ("derived-lora", "adapter_config.json")):
        assert recipe_digest(str(moved / file), SHIPPED, {"torch": "2.13.0"}) == own[called]


def test_it_changes_with_the_prompts_and_the_packages(tmp_path: Path) -> None:
    """A twin is trained on those, by these."""
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "prompts"))
    before = recipe_digest("qwen3-guard", copy, {})
    assert before == recipe_digest("qwen3-guard", SHIPPED, {})
    assert before != recipe_digest("qwen3-guard", SHIPPED, {"torch": "2.13.0"})

    path = copy / "maths.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    assert recipe_digest("qwen3-guard", copy, {}) != before


def test_an_unknown_recipe_lists_the_known() -> None:
    """With a suggestion."""
    with pytest.raises(ConfigError, match="did you mean 'qwen3-guard'"):
        recipe_digest("qwen3-gard", SHIPPED, {})
