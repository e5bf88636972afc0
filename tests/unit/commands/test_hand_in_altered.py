"""A hand-in that somebody altered: `verify` names what was changed, also where everything else was written to fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.commands.hand_in.command import verify
from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.manifest import suite_code
from npu_conformance.commands.hand_in.published import DATA
from npu_conformance.commands.hand_in.verify import findings
from npu_conformance.errors import ConformanceError
from tests.unit.helpers.hand_ins import (
    MODEL,
    edit_array,
    edit_data,
    edit_report,
    edit_text,
    judged_run,
    seal_again,
    write_again,
)
from tests.unit.helpers.scenes import clean_scene

Alter = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-in, not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "scene").mkdir()
    judged_run(clean_scene(folder / "scene"), folder)
    deliver(MODEL, folder / "out", folder / "run", folder / "configs", None)
    return folder / "out"


@pytest.fixture
def hand_in(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def wrong(folder: Path) -> list[str]:
    """What does not follow, in words."""
    try:
        return [f"{one.what}: {one.why}" for one in findings(folder) if one.status == "does not follow"]
    except ConformanceError as error:
        return [str(error)]


def resealed(name: str, old: str, new: str) -> Alter:
    """Other words in a file, with a manifest that has its digest."""

    def alter(folder: Path) -> None:
        edit_text(folder, name, old, new)
        seal_again(folder)

    return alter


def number(change: Callable[[np.ndarray], object], *names: str) -> Alter:
    """Another number in an array of the data; the rest is written anew to fit."""

    def alter(folder: Path) -> None:
        def inside(content: dict[str, Any]) -> None:
            part = content
            for name in names[:-1]:
                part = part[name]
            edit_array(part, names[-1], change)

        edit_data(folder, inside)
        write_again(folder)

    return alter


def result(metric: str, **fields: Any) -> Alter:
    """Another number in the report; cards, pages, tables and manifest are written anew."""

    def alter(folder: Path) -> None:
        def inside(model: dict[str, Any]) -> None:
            chosen = [one for one in model["checks"] if one["metric"] == metric and one["path"] == "decode"]
            chosen[0].update(fields)

        edit_report(folder, inside)

    return alter


def details(change: Callable[[dict[str, Any]], object]) -> Alter:
    """Another row of base's tables in the report, everything else written anew."""
    return lambda folder: edit_report(folder, lambda model: change(model["variants"][0]))


def put(index: Any, value: float) -> Callable[[np.ndarray], object]:
    """Another value at a place."""
    return lambda values: values.__setitem__(index, value)


def scale(factor: float) -> Callable[[np.ndarray], object]:
    """All values, so many times as large."""
    return lambda values: np.multiply(values, factor, out=values)


def add(term: float) -> Callable[[np.ndarray], object]:
    """All values, larger by so much."""
    return lambda values: np.add(values, term, out=values)


def later_token(folder: Path) -> None:
    """A token of the first answer, in the middle."""

    def another(ids: np.ndarray) -> None:
        ids[7] = 1 + ids[7] % 19

    edit_data(folder, lambda one: edit_array(one["prompts"][0], "token_ids", another))
    write_again(folder)


def other_text(folder: Path) -> None:
    """The first answer says another label."""
    edit_data(folder, lambda one: one["prompts"][0].update(text="Safety: Unsafe word"))
    write_again(folder)


def loosened(folder: Path) -> None:
    """The YAML has a limit that the run did not have."""
    with (folder / "evidence" / f"{MODEL}.yaml").open("a", encoding="utf-8") as file:
        file.write("limits: {cosine_min: {value: 0.5, reason: so that it is kept}}\n")
    write_again(folder)


def digest_in_manifest(folder: Path) -> None:
    """A digest of the manifest alone."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"]["README.md"] = "0" * 64
    path.write_text(json.dumps(content), encoding="utf-8")


ALTERED: dict[str, tuple[Alter, str]] = {
    "a figure in the card": (lambda folder: edit_text(folder, "README.md", "0.999999", "0.999998"), "README.md, line"),
    "the same, and its digest": (resealed("README.md", "0.999999", "1.000000"), "README.md, line"),
    "n in the English card": (resealed("README.en.md", "n = 600", "n = 6000"), "README.en.md, line"),
    "the verdict in the card": (resealed("README.en.md", "inconclusive", "pass"), "README.en.md, line"),
    "a graded figure": (resealed("适配报告.md", "max_abs_diff | 0.06", "max_abs_diff | 0.01"), "适配报告.md, line"),
    "that it is a twin": (resealed("RUNBOOK.md", "（twin）", ""), "RUNBOOK.md, line"),
    "the short report": (resealed("precision_report.json", '"positions": 600', '"positions": 700'), "precision_report"),
    "a figure of the page": (resealed(f"{MODEL}.html", "0.999999", "0.999989"), f"{MODEL}.html, line"),
    "a figure of the tables": (resealed("details.md", "0.1403", "0.1303"), "details.md, line"),
    "vllm-ascend's row": (resealed("vllm-ascend.patch", "🟡", "✅"), "vllm-ascend.patch, line"),
    "a script's option": (resealed("serve_base.sh", "exec vllm serve", "exec vllm  serve"), "serve_base.sh, line"),
    "a token": (later_token, "set/first, position 7"),
    "a likeliest word": (number(put((5, 0), 3), "reference", "words"), "set/first, position 5"),
    "a log-probability of the candidate": (number(put((9, 0), 0.02), "run", "errors"), "set/first, position 9"),
    "a log-probability of the reference": (number(put((9, 1), -0.7), "reference", "log_probs"), "position 9"),
    "all errors of the candidate": (number(scale(0.5), "run", "errors"), DATA),
    "a cosine": (number(put(3, 1e-9), "values", "cosine"), "cosine_mean"),
    "the errors that gates rest on": (number(scale(1.1), "deviations", "row"), DATA),
    "a floor run, made worse": (number(add(0.5), "floor", "sdpa", "row"), "error_over_floor"),
    "an answer's text": (other_text, "labels"),
    "a digest in the data": (lambda folder: edit_data(folder, lambda one: one.update(reference_digest="x")), "digest"),
    "a digest in the manifest": (digest_in_manifest, "README.md"),
    "a figure of the report": (result("relative_l2_mean", observed=0.0007), "base: logits_closeness: relative_l2_mean"),
    "the last digit of one": (result("cosine_min", observed=0.9999975), "base: logits_closeness: cosine_min"),
    "a limit of the report": (result("error_over_floor", limit=3.0), "base: error_over_floor"),
    "a verdict of the report": (result("token_agreement", verdict="pass"), "base: token_agreement"),
    "the verdict of all": (lambda folder: edit_report(folder, lambda one: one.update(verdict="pass")), "verdict"),
    "a row of prompts": (details(lambda one: one["prompts"][1].update(cosine=0.9999999)), "base: prompts"),
    "a label": (details(lambda one: one["labels"][0].update(candidate={"label": "Unsafe"})), "base: labels"),
    "a logit of the token table": (
        details(lambda one: one["token_rows"]["reference_logits"].__setitem__(12, 9.0)), "reference's logits",
    ),
    "an error by position": (details(lambda one: one["relative_l2"].__setitem__(4, 1e-4)), "base: relative_l2"),
    "all errors by position, left out": (details(lambda one: one.update(relative_l2=[])), "relative_l2: 0 positions"),
    "the floor's by position, left out": (details(lambda one: one.update(floor_l2=[])), "floor_l2: 0 positions"),
    "a log-probability by token": (details(lambda one: one["log_probs"].__setitem__(4, -0.5)), "token: position 4"),
    "a token by step": (details(lambda one: one["tokens"].__setitem__(4, 20)), "600 tokens, not"),
    "the limits of the YAML": (loosened, f"evidence/{MODEL}.yaml"),
    "a file that is gone": (lambda folder: (folder / "inference.py").unlink(), "inference.py: is missing"),
    "a file that was put there": (lambda folder: (folder / "more.txt").write_text("x"), "more.txt: is not in"),
}  # fmt: skip


def test_what_was_delivered_follows(hand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit status says so; what nobody can tell is said to be so."""
    assert wrong(hand_in) == []
    assert verify(hand_in, root=None, prompts=None, seed=None) == 0
    told = capsys.readouterr().out
    assert "TWIN" in told.splitlines()[0]
    assert "0 does not follow" in told
    assert "cannot be checked  base: checkpoint_weights" in told


@pytest.mark.parametrize("name", ALTERED)
def test_an_alteration_is_named(hand_in: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether or not the manifest and all that follows were written anew."""
    alter, expected = ALTERED[name]
    alter(hand_in)

    assert verify(hand_in, root=None, prompts=None, seed=None) == 1
    told = [one for one in capsys.readouterr().out.splitlines() if one.startswith("does not follow")]
    assert [one for one in told if expected in one], told


def test_prompts_may_be_other_ones_as_far_as_data_tell(hand_in: Path) -> None:
    """What docs/hand-in.md says of it: without the weights nobody sees that the ids are those of another text."""
    edit_data(hand_in, lambda one: edit_array(one["prompts"][0], "prompt_ids", put(0, 9)))
    write_again(hand_in)

    assert wrong(hand_in) == []


@pytest.mark.parametrize("name", ["manifest.json", "report.json", DATA])
def test_a_hand_in_without_its_heart_is_refused(hand_in: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By name; what can still be told is told."""
    (hand_in / name).unlink()

    try:
        status = verify(hand_in, root=None, prompts=None, seed=None)
    except ConformanceError as error:
        status = 1
        print(error)
    assert status == 1
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00", b"{}", b"x" * 1000])
def test_damaged_data_are_one_line(hand_in: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, and it does not follow."""
    (hand_in / DATA).write_bytes(content)
    seal_again(hand_in)

    assert verify(hand_in, root=None, prompts=None, seed=None) == 1
    assert f"does not follow    {hand_in / DATA}" in capsys.readouterr().out


def test_of_a_hand_in_of_other_code_only_numbers_are_read(hand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other words follow from nothing and contradict nothing; another number does not follow."""
    path = hand_in / "manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace(f'"code": "{suite_code()}"', '"code": "x"'), encoding="utf-8"
    )
    edit_text(hand_in, "README.en.md", "precision report", "report of precision")
    seal_again(hand_in)
    assert verify(hand_in, root=None, prompts=None, seed=None) == 0
    assert "cannot be checked  this suite: is other code" in capsys.readouterr().out

    edit_text(hand_in, "README.en.md", "0.999999", "0.123456")
    seal_again(hand_in)
    assert "README.en.md, line" in "".join(wrong(hand_in))


def test_a_variant_that_does_not_fit_its_own_rows_is_named(hand_in: Path) -> None:
    """Of other variants the report's rows are all there is: they are held against each other."""

    def add_variant(model: dict[str, Any]) -> None:
        model["variants"].append(model["variants"][0] | {"variant": "graph", "token_rows": None, "floor_l2": []})
        chosen = [one | {"variant": "graph"} for one in model["checks"] if one["check"] == "logits_closeness"]
        model["checks"] += [one | {"observed": 0.5} if one["metric"] == "relative_l2_max" else one for one in chosen]

    edit_report(hand_in, add_variant)

    assert any(
        one.startswith("graph: logits_closeness: relative_l2_max: is 0.5, the report's own") for one in wrong(hand_in)
    )
    told = [f"{one.what}: {one.status}" for one in findings(hand_in)]
    assert "graph: relative_l2_mean: cannot be checked" in told
