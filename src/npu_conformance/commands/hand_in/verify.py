"""`npu-conformance verify`: whether what a hand-in publishes follows from the data that it carries."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npu_conformance.commands.hand_in import compared
from npu_conformance.commands.hand_in.again import evidence_of
from npu_conformance.commands.hand_in.contradictions import contradictions
from npu_conformance.commands.hand_in.data import HandedData, read_data
from npu_conformance.commands.hand_in.findings import Finding, differs, follows, unchecked
from npu_conformance.commands.hand_in.manifest import Manifest, check_files, read_manifest, suite_code
from npu_conformance.commands.hand_in.patch import known_tree
from npu_conformance.commands.hand_in.published import DATA, PATCH, REPORT, texts, yaml_place
from npu_conformance.commands.hand_in.reference import reference_again
from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import ModelConfig, load_config
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import worst
from npu_conformance.report.model import ModelReport, Report, load_report
from npu_conformance.run.settings import Settings

_MOST_LINES = 3
_NUMBER = re.compile(r"\d[\d.,e+-]*")
_LONGEST = 120


class Weights(NamedTuple):
    """Where weights are, with which the reference is computed again."""

    root: Path | None
    """Folder of weights; None where they are looked for in the usual places, and of a twin."""
    prompts: int
    """How many are chosen."""
    seed: int
    trust_remote_code: bool = False


def checked(folder: Path, weights: Weights | None = None) -> Iterator[Finding]:
    """As `findings`, without warnings of numpy: what is out of range does not follow, and is said to."""
    found = findings(folder, weights)
    while True:
        with np.errstate(all="ignore"):
            one = next(found, None)
        if one is None:
            return
        yield one


def findings(folder: Path, weights: Weights | None = None) -> Iterator[Finding]:
    """All that a hand-in publishes, one thing after another.

    Args:
        folder: of the hand-in.
        weights: compute the reference again; None leaves that out.

    Raises:
        ConformanceError: it has no manifest, report, YAML or data that can be read.
    """
    manifest = read_manifest(folder)
    if manifest.code != suite_code():
        why = f"is other code than made it ({manifest.suite}): rules may have changed; of texts only numbers are read"
        yield unchecked("this suite", why)
    yield from check_files(folder, manifest)
    report, data = load_report(folder), read_data(folder / DATA)
    config = load_config(folder / yaml_place(manifest.model))
    model = _same_model(report, data, manifest)
    yield from _of_config(model, config)
    told = list(contradictions(data))
    yield from (differs(DATA, one) for one in told)
    if not told:
        yield follows(DATA, "its numbers do not contradict each other")
    evidence = evidence_of(data, config, [one for one in model.checks if one.variant == "base"])
    yield from compared.results(model, evidence)
    yield from compared.rows(model, evidence, data)
    yield from compared.variants(model)
    yield _verdict(model)
    longest = max(prompt.prompt_ids.shape[0] for prompt in data.prompts)
    yield from _of_texts(folder, Subject(report, config, data.asked, longest), data, manifest)
    if weights is not None:
        settings = Settings(
            folder / "evidence",
            twin=data.subject == "twin",
            models_root=weights.root,
            part="reference",
            trust_remote_code=weights.trust_remote_code,
        )
        yield from reference_again(settings, data, weights.prompts, weights.seed)


def _same_model(report: Report, data: HandedData, manifest: Manifest) -> ModelReport:
    if len(report.models) != 1:
        raise TraceError(f"{REPORT}: has {len(report.models)} models, a hand-in is of one")
    model, facts = report.models[0], report.models[0].facts
    if facts is None or not any(one.variant == "base" for one in model.variants):
        raise TraceError(f"{REPORT}: has no base")
    for what, a, b, c in (
        ("model", model.name, data.model, manifest.model),
        ("subject", model.subject, data.subject, manifest.subject),
        ("digest of the reference's weights", facts.reference_digest, data.reference_digest, data.reference_digest),
    ):
        if not a == b == c:
            raise TraceError(f"{REPORT}, {DATA} and the manifest name another {what}: {a}, {b}, {c}")
    return model


def _of_config(model: ModelReport, config: ModelConfig) -> Iterator[Finding]:
    place, facts = yaml_place(model.name), model.facts
    right = facts is not None and config_digest(config) == facts.config_digest
    told = "is not the config that the report names by its digest"
    yield follows(place, "is the config that was judged") if right else differs(place, told)


def _verdict(model: ModelReport) -> Finding:
    found = worst(one.verdict for one in model.checks)
    if found != model.verdict:
        return differs("verdict", f"is {model.verdict}, the report's own results give {found}")
    others = len({one.variant for one in model.checks}) - 1
    return follows("verdict", f"{found}, of base and of {others} variants' results as they are published")


def _of_texts(folder: Path, subject: Subject, data: HandedData, manifest: Manifest) -> Iterator[Finding]:
    """Every file of text, written again."""
    same, tree = manifest.code == suite_code(), known_tree()
    for name, expected in texts(subject, data, tree).items():
        if name == PATCH and manifest.tree != tree.commit:
            yield unchecked(name, f"made for {manifest.tree} of vllm-ascend, which is not here")
            continue
        try:
            there = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            yield differs(name, "is missing, or no text")
            continue
        told = list(_lines(there, expected) if same else _numbers(there, expected))
        yield from (differs(f"{name}{where}", why) for where, why in told[:_MOST_LINES])
        if len(told) > _MOST_LINES:
            yield differs(name, f"{len(told) - _MOST_LINES} more lines")
        if not told:
            yield follows(name, "is what report and data give")
    yield unchecked(f"{subject.name}.png, logs/", "nothing computes them again: only the manifest holds them")


def _numbers(there: str, expected: str) -> Iterator[tuple[str, str]]:
    """Numbers of a file that another version worded, and which are in none of this version's."""
    known = set(_NUMBER.findall(expected))
    for at, line in enumerate(there.splitlines(), 1):
        if strange := [one for one in _NUMBER.findall(line) if one not in known]:
            yield f", line {at}", f"{strange[0]} is no number that report and data give here"


def _lines(there: str, expected: str) -> Iterator[tuple[str, str]]:
    """Lines that are not those expected: where, and both."""
    if there == expected:
        return
    mine, theirs = there.splitlines(), expected.splitlines()
    for kind, start, end, other, last in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        shown = [" ".join(" ".join(part).split()) for part in (mine[start:end], theirs[other:last])]
        at = next((place for place, (a, b) in enumerate(zip(*shown, strict=False)) if a != b), 0)
        first = max(0, at - _LONGEST // 2)
        is_now, should = (one[first : first + _LONGEST] for one in shown)
        yield f", line {start + 1}", f"is {is_now!r}, report and data give {should!r}"
    if mine == theirs:
        yield "", "its line ends are others"
