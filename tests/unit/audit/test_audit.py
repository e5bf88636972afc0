"""The audit: correct conversions pass, nothing hides, and what it leaves for reports."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.audit import audit as audit_module
from npu_conformance.audit.audit import Audit, audit, run
from npu_conformance.workers.job import AuditJob
from tests.unit.helpers.published_checkpoints import (
    DOWN,
    GATE,
    Array,
    Published,
    ignore,
    only_problem,
    spread,
    write_checkpoint,
    written,
)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("kind", ["fp8", "gptq", "plain"])
def test_a_correct_conversion_passes(tmp_path: Path, kind: str, dtype: str) -> None:
    """And its figures are those of a computation over all weights at once."""
    import torch

    published = Published(tmp_path, kind, {GATE: (64, 64), DOWN: (96, 160)})

    result = published.audit({}, dtype)

    assert result.passed
    assert (result.parameters, result.exact, result.broken) == (2, 2, 0)
    exact = np.concatenate([array.ravel() for array in published.weights.values()]).astype(np.float64)
    error = torch.from_numpy(exact).float().to(getattr(torch, dtype)).double().numpy() - exact
    assert result.relative_rms == pytest.approx(np.linalg.norm(error) / np.linalg.norm(exact), rel=1e-9)
    assert result.max_abs == np.abs(error).max()
    assert result.mean_abs == pytest.approx(np.abs(error).mean(), rel=1e-9)
    assert result.allowed == {"bfloat16": 2 / 256, "float16": 2 / 2048, "float32": 2 / 2**24}[dtype]


def test_rounding_the_scale_as_well_passes_without_being_exact(fp8: Published) -> None:
    """As converters do that compute in the target's dtype: two roundings instead of one."""
    import torch

    values, scale = fp8.parts[DOWN]
    rounded = torch.from_numpy(scale).bfloat16().float().numpy()

    result = fp8.audit({DOWN: values * spread(rounded, values.shape)})

    assert result.passed
    assert result.exact == 1
    assert 0.0015 < result.worst[0].relative_rms < result.worst[0].allowed


@pytest.mark.parametrize(
    ("part", "factor", "words"),
    [
        (
            np.s_[1280:1408, 512:640],
            1.1,
            "as if it had been multiplied by 1.1 in rows 1280 to 1407, columns 512 to 639",
        ),
        (np.s_[1999], 1.1, "as if it had been multiplied by 1.1 in row 1999"),
        (np.s_[1000:1001, 7:8], 1.02, "1 of 4194304 elements differ from the published ones by more than rounding"),
    ],
    ids=["block", "row", "element"],
)
def test_a_small_fault_in_a_large_tensor(tmp_path: Path, part: Any, factor: float, words: str) -> None:
    """Far below the tensor's relative error, and found all the same."""
    published = Published(tmp_path, "plain", {DOWN: (2048, 2048)})
    wrong = published.weights[f"{DOWN}.weight"].copy()
    wrong[part] *= factor

    result = published.audit({DOWN: wrong})

    assert words in only_problem(result)
    assert result.relative_rms < result.allowed


def test_a_difference_in_the_mean_square_alone(plain: Published) -> None:
    """No element is beyond its limit, all of them are near it."""
    weights = plain.weights[f"{DOWN}.weight"]
    sign = np.random.default_rng(8).choice([-1, 1], weights.shape)

    result = plain.audit({DOWN: weights * (1 + 0.0105 * sign)})

    assert result.worst[0].off == 0
    assert "differs from the published weights by 1.0" in only_problem(result)
    assert result.problems[0].endswith("(allowed 0.78 %); no known mistake explains it")


def test_an_engines_own_format_is_compared_too(fp8: Published) -> None:
    """FP8 against FP8: the same codes pass, a scale in the wrong place does not."""
    from safetensors.torch import load_file

    stored = load_file(fp8.folder / "source" / "model.safetensors")
    same = write_checkpoint(fp8.folder / "same", fp8.source.config, stored)
    turned = {f"{GATE}.weight_scale_inv": stored[f"{GATE}.weight_scale_inv"].T}
    other = write_checkpoint(fp8.folder / "other", fp8.source.config, stored | turned)

    clean = audit(fp8.source, same, ignore)
    assert clean.passed
    assert clean.exact == 2
    assert clean.relative_rms == 0
    assert only_problem(audit(fp8.source, other, ignore), GATE).endswith("; as if the scale blocks were transposed")


def test_more_faults_than_are_shown(plain: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst are, the others are counted."""
    monkeypatch.setattr(audit_module, "_SHOWN", 2)
    wrong = {name.removesuffix(".weight"): array * 0.5 for name, array in plain.weights.items()}
    wrong[GATE] = plain.weights[f"{GATE}.weight"] * 3

    result = plain.audit(wrong)

    assert result.broken == len(plain.weights)
    assert result.worst[0].name == f"{GATE}.weight"
    assert result.problems[0] == (
        f"{GATE}.weight: differs from the published weights by 200 % (allowed 0.78 %); "
        "as if it had been multiplied by 3"
    )
    assert result.problems[2] == "3 more parameters differ from the published weights"


def test_missing_unexpected_and_misshapen_parameters(tmp_path: Path) -> None:
    """Nothing passes because it was not there to be compared; a scale left behind is no weight."""
    arrays = {f"{name}.weight": np.ones((4, 8), dtype=np.float32) for name in "abcdef"}
    source = written(tmp_path / "source", arrays)
    found = {"e.weight": np.ones((8, 4), np.float32), "f.weight": np.ones((4, 4), np.float32)}
    extra = {"f.weight_scale_inv": np.ones(1, np.float32)}

    result = audit(source, written(tmp_path / "candidate", found | extra), ignore)

    assert result.problems == [
        "a.weight, b.weight, c.weight and 1 more: missing in the candidate",
        "f.weight_scale_inv: in the candidate, but not in the published checkpoint",
        "e.weight: has shape (8, 4), the published one (4, 8), as if it had been transposed",
        "f.weight: has shape (4, 4), the published one (4, 8)",
    ]
    assert not result.passed
    assert result.parameters == 0


DROPPED = "tied lm_head dropped: missing in the candidate, whose config.json does not say tie_word_embeddings"


@pytest.mark.parametrize(
    ("published", "tied", "found", "candidate_tied", "problem"),
    [
        ("same", True, "", True, None),
        ("", True, "same", True, None),
        ("", True, "same", False, None),
        ("", True, "other", False, "as if it had been multiplied by 2"),
        ("same", True, "same", False, None),
        ("same", True, "", False, DROPPED),
        ("", True, "", False, DROPPED),
        ("other", False, "other", False, None),
        ("other", False, "", False, "lm_head dropped: missing in the candidate"),
        ("other", False, "other", True, "not used, for the candidate's config.json says tie_word_embeddings"),
        ("", None, "", None, None),
        ("other", None, "", None, "lm_head dropped: missing in the candidate"),
    ],
)
def test_tied_heads(
    tmp_path: Path, published: str, tied: bool | None, found: str, candidate_tied: bool | None, problem: str | None
) -> None:
    """A head need not be stored where it is tied, and must be where it is not."""
    embedding = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    heads: dict[str, dict[str, Array]] = {
        "": {},
        "same": {"lm_head.weight": embedding},
        "other": {"lm_head.weight": 2 * embedding},
    }
    sides = []
    for name, head, tie in (("source", published, tied), ("candidate", found, candidate_tied)):
        config = {} if tie is None else {"tie_word_embeddings": tie}
        tensors: dict[str, Array] = {"model.embed_tokens.weight": embedding, **heads[head]}
        sides.append(written(tmp_path / name, tensors, config=config))

    result = audit(sides[0], sides[1], ignore)

    assert result.passed == (problem is None)
    if problem:
        assert len(result.problems) == 1
        assert result.problems[0].startswith("lm_head.weight: ")
        assert problem in result.problems[0]


def test_a_job_leaves_json_with_nan_in_it(plain: Published) -> None:
    """It is read back as it was."""
    wrong = plain.weights[f"{DOWN}.weight"].copy()
    wrong[0, 0] = np.nan
    plain.candidate({DOWN: wrong})
    output = plain.folder / "audit.json"
    seen: list[tuple[str, int, int]] = []

    run(
        AuditJob(source=plain.folder / "source", candidate=plain.folder / "candidate", output=output),
        lambda *step: seen.append(step),
    )

    result = Audit.model_validate_json(output.read_text(encoding="utf-8"))
    assert np.isnan(result.relative_rms)
    assert np.isnan(result.max_abs)
    assert not result.passed
    assert json.loads(output.read_text(encoding="utf-8"))["worst"][0]["relative_rms"] == "NaN"
    assert seen[0] == ("comparing weights", 0, 5)
    assert seen[-1] == ("naming causes", 0, 1)
