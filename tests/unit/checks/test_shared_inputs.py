"""The check of what engine and reference share: what it says of a fault, and what is no pass."""

import dataclasses
import json

import pytest

from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checkpoints.own_files import OwnFiles
from npu_conformance.checks import CHECKS
from npu_conformance.measure.results import Result
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.small_traces import DECLARED


def by_metric(scene: Scene, metric: str, at: str = "answers") -> Result:
    """The one result of a metric."""
    results = CHECKS["shared_inputs"].judge(scene.evidence())
    (found,) = [one for one in results if (one.metric, one.at) == (metric, at)]
    return found


def test_a_fault_is_told_with_key_file_and_both_values(scene: Scene) -> None:
    """On both sides, and with the base that was taken instead."""
    wrong = [10_000 ** (-pair / 16) for pair in range(16)]
    scene.edit_modules("rotary frequencies", wrong, "candidate", "reference")
    for side in ("candidate", "reference"):
        check = by_metric(scene, "declared_values", side)
        assert (check.verdict, check.observed, check.n) == ("fail", 2, 3)
        assert (check.where or "").startswith("config.json: rope_theta 1e+06, rope type default; ")
        assert "rope_theta 10000 at model.rotary_emb" in (check.where or "")
        assert check.message == "not judged: sliding window (config.json does not say)"


def test_another_tokenizer_class_than_the_files_fails_alone(scene: Scene) -> None:
    """Engine and reference were given the same ids, which are not tokenizer.json's."""
    other = dataclasses.replace(scene, second_ids=(((1, 2, 3),), ((1, 2, 9, 4),), ((1, 2, 5), (7, 1, 2, 5))))
    check = by_metric(other, "tokenizer_ids")

    assert (check.verdict, check.observed, check.limit) == ("fail", 2, 3)
    assert (check.where or "").startswith("set/second: ids [4] from index 2, by tokenizer.json alone [9, 4]")
    assert {name for name, verdict in other.verdicts().items() if verdict == "fail"} == {"shared_inputs"}


@pytest.mark.parametrize("side", ["candidate", "reference"])
def test_nothing_told_is_no_pass(scene: Scene, side: str) -> None:
    """0 of 0 fails, and says so."""
    (scene.folder / side / "modules.json").write_text("[]")
    word = "the engine" if side == "candidate" else "the reference"
    check = by_metric(scene, "declared_values", side)

    assert (check.verdict, check.n) == ("fail", 0)
    assert check.where == f"{word} reported no value that can be compared with its files"


def test_what_an_engine_does_not_tell_is_said(scene: Scene) -> None:
    """And not judged."""
    path = scene.folder / "candidate" / "modules.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one[0] != "norm epsilon"]))
    check = by_metric(scene, "declared_values", "candidate")

    assert (check.verdict, check.n) == ("pass", 2)
    assert (check.message or "").startswith("not reported: norm epsilon; ")


def test_rotary_frequencies_that_are_not_told_leave_the_check_open(scene: Scene) -> None:
    """The rest agreeing says nothing of what is most often read wrongly."""
    path = scene.folder / "reference" / "modules.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one[0] != "rotary frequencies"]))

    assert by_metric(scene, "declared_values", "reference").verdict == "inconclusive"
    assert by_metric(scene, "declared_values", "candidate").verdict == "pass"


@pytest.mark.parametrize(
    ("text", "decoded", "verdict"),
    [
        (" a\n  b", "a\n  b\ufffd", "pass"),
        ("a b", "a\n  b", "fail"),
    ],
)
def test_an_engine_that_loses_lines_or_indentation_fails(scene: Scene, text: str, decoded: str, verdict: str) -> None:
    """A space at the edge and part of a character are what decoding token by token may leave out."""
    plain = scene.evidence()
    first, *rest = plain.candidate.answers
    answers = (dataclasses.replace(first, text=text, decoded=decoded), *rest)
    candidate = dataclasses.replace(plain.candidate, answers=answers)
    checks = CHECKS["shared_inputs"].judge(dataclasses.replace(plain, candidate=candidate))

    assert [check.verdict for check in checks if check.metric == "tokenizer_texts"] == [verdict]


def test_older_traces_are_no_pass(scene: Scene) -> None:
    """Their config was read once."""
    (found,) = CHECKS["shared_inputs"].judge(dataclasses.replace(scene.evidence(), inputs=None))

    assert found.verdict == "error"
    assert "not read a second time" in (found.message or "")


def test_a_candidates_own_files_are_judged(scene: Scene) -> None:
    """A key that differs is told with both values."""
    files = OwnFiles(keys=40, differences=("config.json: rope_theta 10000, published 1000000",))
    own = dataclasses.replace(scene, inputs=Inputs(candidate=DECLARED, reference=DECLARED, own_files=files))
    check = by_metric(own, "published_keys")

    assert (check.verdict, check.observed, check.n) == ("fail", 39, 40)
    assert check.where == "config.json: rope_theta 10000, published 1000000"


def test_of_a_server_it_is_not_asked_what_its_modules_were_made_with(scene: Scene) -> None:
    """It cannot tell; what can be read of its texts is judged, and of an engine that could tell it is a failure."""
    plain = scene.evidence()
    for name, verdict in (("openai", "not_applicable"), ("vllm", "fail")):
        told = plain.candidate.provenance | {"engine": name}
        (scene.folder / "candidate" / "modules.json").unlink(missing_ok=True)
        candidate = dataclasses.replace(plain.candidate, provenance=told)
        checks = CHECKS["shared_inputs"].judge(dataclasses.replace(plain, candidate=candidate))
        assert [one.verdict for one in checks if (one.metric, one.at) == ("declared_values", "candidate")] == [verdict]
        assert "tokenizer_ids" in {one.metric for one in checks}
