"""The patch for vllm-ascend: `git apply` takes it, on the snapshot and on a tree that moved on."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.manifest import read_manifest
from npu_conformance.commands.hand_in.patch import Place, Tree, known_tree, patch
from npu_conformance.errors import ConfigError
from tests.unit.helpers.hand_ins import MODEL, edit_report, judged_run
from tests.unit.helpers.scenes import clean_scene

COLUMNS = 20
"""Of the matrix of supported models, A2/A3."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and `configs`."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "scene").mkdir()
    return judged_run(clean_scene(folder / "scene"), folder)


def tree_of(folder: Path, moved: int = 0) -> Path:
    """A tree that has the snapshot's lines where it has them, or further down."""
    by_file: dict[str, list[Place]] = {}
    for place in known_tree().places.values():
        by_file.setdefault(place.path, []).append(place)
    for path, places in by_file.items():
        lines = [f"# line {number}" for number in range(max(one.line for one in places) + 6)]
        for one in sorted(places, key=lambda place: place.line):
            start = one.line - len(one.before)
            lines[start : one.line + len(one.after)] = [*one.before, *one.after]
        if path.endswith("supported_models.md"):
            lines[5:7] = ['=== "A2/A3"', ""]
            lines[7:45] = ["    | a row |"] * 38
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        last = max(one.line + len(one.after) for one in places)
        ends = lines[:last] if path.endswith("accuracy.txt") else lines
        target.write_text(
            "\n".join(["# moved"] * (0 if path.endswith(".json") else moved) + ends) + "\n", encoding="utf-8"
        )
    for name in ("init -q", "add -A"):
        subprocess.run(["git", *name.split()], cwd=folder, check=True)  # noqa: S607
    return folder


def applied(tree: Path, text: Path) -> None:
    """Apply it."""
    done = subprocess.run(["git", "apply", text], cwd=tree, capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("moved", [0, 7])
def test_the_patch_applies(judged: Path, tmp_path: Path, moved: int) -> None:
    """Also where lines were added above; new files are those of the hand-in."""
    out = tmp_path / "out"
    deliver(MODEL, out, judged / "run", judged / "configs", None)
    tree = tree_of(tmp_path / "tree", moved)
    applied(tree, out / "vllm-ascend.patch")

    for path in (out / "vllm-ascend").rglob("*.*"):
        if path.is_file():
            assert (tree / path.relative_to(out / "vllm-ascend")).read_text() == path.read_text()
    listed = (tree / "tests/e2e/models/configs/accuracy.txt").read_text().splitlines()
    assert listed[-1] == f"{MODEL}.yaml"
    assert f"        - tutorials/models/{MODEL}.md" in (tree / "mkdocs.yml").read_text().splitlines()
    titles = (tree / "docs/hooks/nav_titles.py").read_text()
    assert f'    "tutorials/models/{MODEL}.md": {{"en": "{MODEL}", "zh": "{MODEL}"}},\n' in titles
    assert '      "a/b",\n' in (tree / ".github/workflows/misc/model_dataset_list.json").read_text()
    nightly = (tree / ".github/workflows/configs/nightly_config.yaml").read_text()
    assert f"        config_file_path: {MODEL}.yaml\n" in nightly
    assert f"      - name: pr-accuracy-{MODEL}\n        os: linux-aarch64-a2b3-1\n" in nightly


@pytest.mark.parametrize(
    ("options", "npus"),
    [
        ({"tensor_parallel_size": 2}, 2),
        ({"tensor_parallel_size": 2, "prefill_context_parallel_size": 2}, 4),
        ({"pipeline_parallel_size": 2, "data_parallel_size": 3}, 8),
        ({"tensor_parallel_size": 16}, 8),
    ],
)
def test_the_runner_has_the_npus_that_the_options_need(
    judged: Path, tmp_path: Path, options: dict[str, int], npus: int
) -> None:
    """The smallest that holds them, else the largest."""
    deliver(MODEL, tmp_path / "out", judged / "run", judged / "configs", None)
    edit_report(tmp_path / "out", lambda model: [one["candidate"].update(asked=options) for one in model["variants"]])

    assert f"+        os: linux-aarch64-a2b3-{npus}\n" in (tmp_path / "out" / "vllm-ascend.patch").read_text()


def test_a_patch_for_a_tree_at_hand_has_its_lines(judged: Path, tmp_path: Path) -> None:
    """Context and numbers are the tree's own; a file that it has already is left out, and the patch says so."""
    tree = tree_of(tmp_path / "tree", 3)
    (tree / "docs/source/tutorials/models").mkdir(parents=True)
    (tree / "docs/source/tutorials/models" / f"{MODEL}.md").write_text("ours\n")
    out = tmp_path / "out"
    deliver(MODEL, out, judged / "run", judged / "configs", tree)
    text = (out / "vllm-ascend.patch").read_text(encoding="utf-8")

    assert f"Left out, for the tree has it: docs/source/tutorials/models/{MODEL}.md" in text
    assert "mkdocs.yml" not in text
    assert "@@ -79,6 +" in text or "@@ -77,6 +" in text
    applied(tree, out / "vllm-ascend.patch")
    assert (tree / "docs/source/tutorials/models" / f"{MODEL}.md").read_text() == "ours\n"
    assert read_manifest(out).tree != known_tree().commit


def test_a_folder_that_is_no_tree_of_vllm_ascend_is_refused(judged: Path, tmp_path: Path) -> None:
    """By the file that it lacks; nothing is written."""
    with pytest.raises(ConfigError, match=r"--vllm-ascend .*accuracy\.txt: no place for accuracy found"):
        deliver(MODEL, tmp_path / "out", judged / "run", judged / "configs", tmp_path)
    assert not (tmp_path / "out").exists()


def test_the_snapshot_is_what_its_places_say() -> None:
    """Each place has the lines that were around it, and no more than three a side."""
    tree = known_tree()

    assert re.fullmatch(r"[0-9a-f]{40}", tree.commit)
    assert len(tree.places) == 7
    assert all(1 <= len(one.before) <= 3 and len(one.after) <= 3 for one in tree.places.values())
    assert "Qwen3-8B.yaml" in tree.files


def test_two_places_of_a_file_are_in_their_order(tmp_path: Path) -> None:
    """And count the lines that were added before them."""
    lines = [f"line {number}" for number in range(1, 21)]
    places = {
        "late": Place("f.txt", 15, lines[12:15], lines[15:18]),
        "early": Place("f.txt", 4, lines[1:4], lines[4:7]),
    }
    made = patch(
        Tree("x", places, frozenset()), {"new/a b.txt": "one\ntwo\n"}, {"late": ["L"], "early": ["E", "F"]}, ["x"]
    )
    (tmp_path / "f.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "p.patch").write_text(made)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)  # noqa: S607
    applied(tmp_path, tmp_path / "p.patch")

    assert (tmp_path / "f.txt").read_text().splitlines() == [*lines[:4], "E", "F", *lines[4:15], "L", *lines[15:]]
    assert (tmp_path / "new/a b.txt").read_text() == "one\ntwo\n"


def test_yaml_has_what_vllm_asends_loaders_ask_for(judged: Path, tmp_path: Path) -> None:
    """Their required keys and types; options of the server are those that were judged."""
    out = tmp_path / "out"
    deliver(MODEL, out, judged / "run", judged / "configs", None)
    scores, nightly = (
        yaml.safe_load((out / "vllm-ascend" / folder / f"{MODEL}.yaml").read_text(encoding="utf-8"))
        for folder in ("tests/e2e/models/configs", "tests/e2e/nightly/single_node/models/configs")
    )

    assert scores["model_name"] == "a/b"
    assert scores["model_type"] == "vllm"
    assert isinstance(scores["serve"]["tensor_parallel_size"], int)
    (case,) = nightly["test_cases"]
    assert case.keys() >= {"name", "model", "envs", "server_cmd"}
    assert all(isinstance(word, str) for word in case["server_cmd"])
    assert case["server_cmd"][:2] == ["--port", "$SERVER_PORT"]
    assert set(case["test_content"]) <= {"completion", "chat_completion"}


def test_what_no_npu_showed_is_not_verified_in_the_matrix(judged: Path, tmp_path: Path) -> None:
    """A row of as many columns as the table has, with vllm-ascend's sign of what was not tested."""
    out = tmp_path / "out"
    deliver(MODEL, out, judged / "run", judged / "configs", None)
    (row,) = [
        line for line in (out / "vllm-ascend.patch").read_text().splitlines() if line.startswith(f"+    | {MODEL} |")
    ]
    cells = [one.strip() for one in row.removeprefix("+").strip().strip("|").split("|")]

    assert len(cells) == COLUMNS
    assert "✅" not in row
    assert cells.count("🟡") >= 14
