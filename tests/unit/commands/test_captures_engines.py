"""Two candidates' captures of the same tokens: one engine held against another in all that both have."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.__main__ import main
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL
from tests.unit.helpers.captured_runs import TRACES, capture_folder, change_rows, change_tokens, sealed
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.topk_traces import reduce_trace

Compare = Callable[[Path, Path], tuple[int, str]]


@pytest.fixture
def compared(own_configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """The command: its status, and what it printed."""
    (own_configs / "Model.yaml").write_text("model: a/b\n")

    def compare(first: Path, second: Path) -> tuple[int, str]:
        words = [f"--configs={own_configs}", f"--reports={tmp_path / 'reports'}"]
        status = main(["merge", str(first), str(second), *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return compare


def slightly(rows: Rows) -> Rows:
    """What another device's rounding does."""
    return np.asarray(rows * np.float32(1.001))


def differently(rows: Rows) -> Rows:
    """Far beyond rounding."""
    return rows * np.linspace(0.5, 1.5, 20, dtype=np.float32)


def not_finite(rows: Rows) -> Rows:
    """One word of one position."""
    rows[7, 3] = np.nan
    return rows


def test_both_paths_of_every_variant_are_compared(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """With a line a figure."""
    folders = [capture_folder(scene, tmp_path / name, variants=("base", "as_served")) for name in ("npu", "gpu")]
    for variant in ("base", "as_served"):
        change_rows(folders[1] / TRACES / variant / "candidate", 1, slightly)

    status, text = compared(sealed(folders[0]), sealed(folders[1]))
    assert status == 0, text
    rows = [line.split()[:3] for line in text.splitlines()]
    assert [row for row in rows if row[2:] == ["cosine_min"]] == [
        [variant, path, "cosine_min"] for variant in ("as_served", "base") for path in ("decode", "prefill")
    ]
    assert "not compared" not in text


@pytest.mark.parametrize("variant", ["base", "as_served"])
@pytest.mark.parametrize("part", [".", PREFILL])
def test_a_difference_beyond_rounding_fails(
    scene: Scene, tmp_path: Path, compared: Compare, variant: str, part: str
) -> None:
    """In whichever variant and path it is, with its place."""
    folders = [capture_folder(scene, tmp_path / name, variants=("base", "as_served")) for name in ("npu", "gpu")]
    change_rows(folders[1] / TRACES / variant / "candidate" / part, 1, differently)

    status, text = compared(sealed(folders[0]), sealed(folders[1]))
    assert status == 1
    path = "decode" if part == "." else part
    told = [line for line in text.splitlines() if "worst at" in line]
    assert told
    assert all(line.startswith(f"{variant}, {path}, ") for line in told)
    assert f"{variant}, {path}, relative_l2_max: worst at set/second, position" in text


@pytest.mark.parametrize("bad", ["npu", "gpu"])
@pytest.mark.parametrize("variant", ["base", "as_served"])
@pytest.mark.parametrize("part", [".", PREFILL])
def test_logits_that_are_not_finite_are_an_error(
    scene: Scene, tmp_path: Path, compared: Compare, bad: str, variant: str, part: str
) -> None:
    """On either side; by prompt and position, whatever has a limit."""
    folders = {name: capture_folder(scene, tmp_path / name, variants=("base", "as_served")) for name in ("npu", "gpu")}
    change_rows(folders[bad] / TRACES / variant / "candidate" / part, 1, not_finite)

    status, text = compared(sealed(folders["npu"]), sealed(folders["gpu"]))
    assert status == 1
    path = "decode" if part == "." else part
    assert f"ERROR: {bad}: {variant}, {path}: logits that are not finite at 1 of 600 positions" in text
    assert "first at set/second, position 7" in text
    assert "pass" not in text


def test_what_is_left_out_is_said(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """Variants that one has, whose tokens differ or that have no logits, and a path that one has; base is compared."""
    mine = capture_folder(scene, tmp_path / "npu", variants=("base", "as_served", "graph", "spec_decode"))
    theirs = capture_folder(scene, tmp_path / "gpu", variants=("base", "as_served", "spec_decode", "tp2"))
    change_tokens(theirs / TRACES / "as_served" / "candidate")
    shutil.rmtree(theirs / TRACES / "base" / "candidate" / PREFILL)

    status, text = compared(sealed(mine), sealed(theirs))
    assert status == 0, text
    assert {line for line in text.splitlines() if "not compared" in line} == {
        "as_served: not compared: the engines chose other tokens",
        "graph: not compared: only npu has it",
        "spec_decode: not compared: has no logits, and the same tokens",
        "tp2: not compared: only gpu has it",
        "base, prefill: not compared: only npu has it",
    }
    assert {line.split()[0] for line in text.splitlines() if "cosine_min" in line} == {"base"}


@pytest.mark.parametrize("without", ["npu", "gpu"])
def test_a_side_without_base_is_told_so(scene: Scene, tmp_path: Path, compared: Compare, without: str) -> None:
    """Its tokens are not at fault."""
    folders = {
        name: sealed(capture_folder(scene, tmp_path / name, variants=("as_served",) if name == without else ("base",)))
        for name in ("npu", "gpu")
    }

    status, text = compared(folders["npu"], folders["gpu"])
    assert status == 1
    assert f"ERROR: {folders[without]}: has no base" in text
    assert "only as_served" in text
    assert "other tokens" not in text


def test_other_tokens_are_refused(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """Says how the second takes the first's."""
    mine, theirs = sealed(capture_folder(scene, tmp_path / "npu")), capture_folder(scene, tmp_path / "gpu")
    change_tokens(theirs / TRACES / "base" / "candidate")

    status, text = compared(mine, sealed(theirs))
    assert status == 1
    assert "the engines chose other tokens, so their positions cannot be compared" in text
    assert f"capture the second with --tokens {mine}" in text


def test_folders_of_one_name_are_told_apart(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """By their whole paths."""
    mine = sealed(capture_folder(scene, tmp_path / "npu" / "run", variants=("base", "graph")))
    theirs = sealed(capture_folder(scene, tmp_path / "gpu" / "run"))

    assert f"graph: not compared: only {mine} has it" in compared(mine, theirs)[1]


def test_servers_are_compared_by_what_few_words_tell(scene: Scene, tmp_path: Path, compared: Compare) -> None:
    """A server with an engine: agreement, and the divergence as a lower bound, which cannot pass and can fail."""
    whole, server, other = (capture_folder(scene, tmp_path / name) for name in ("engine", "server", "other"))
    change_rows(other / TRACES / "base" / "candidate", 1, differently)
    for folder in (server, other):
        candidate = folder / TRACES / "base" / "candidate"
        shutil.move(candidate, tmp_path / "full" / folder.name)
        reduce_trace(tmp_path / "full" / folder.name, candidate)
    folders = [sealed(folder) for folder in (whole, server, other)]

    status, text = compared(folders[0], folders[1])
    assert status == 0, text
    figures = {line.split()[2]: line.split()[-1] for line in text.splitlines() if line.startswith("base ")}
    assert set(figures) == {"token_agreement", "top5_overlap", "kl_mean", "kl_p99", "kl_max"}
    assert figures["kl_mean"] == "shown"
    assert "base, prefill: not compared: only engine has it" in text
    status, text = compared(folders[1], folders[2])
    assert status == 1, text
    assert "base, decode, kl_mean: worst at" in text
