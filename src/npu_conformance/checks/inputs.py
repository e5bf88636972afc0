"""What engine and reference share besides weights: read by both as its files say, and not only by both alike."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npu_conformance.checkpoints.declared import FREQUENCIES, SCALE, Declarations, Declared
from npu_conformance.checks.capabilities import lacks
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.config.variants import scored_with
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Result
from npu_conformance.traces.tokens import first_difference
from npu_conformance.traces.trace import ModuleValue

_CHECK = "shared_inputs"
# Engines keep cosines and sines in the model's dtype, bfloat16's last place being 0.4 % of a value.
_ROUNDED = 0.01


@check(
    chinese="引擎与参考对配置和分词器的读取，均与对其文件的第二次独立读取一致。",
    metrics=("declared_values", "tokenizer_ids", "tokenizer_texts", "published_keys"),
    cause="input",
)
def shared_inputs(evidence: Evidence) -> list[Result]:
    """Config and tokenizer are read by engine and reference as a second reading of their files says."""
    if evidence.inputs is None:
        raise TraceError("the config was not read a second time: the traces are of an older version; run it again")
    if (why := lacks(evidence, "modules")) is None:
        checks = [_as_declared(evidence, "candidate", evidence.candidate.modules(), evidence.inputs.candidate)]
    else:
        checks = [not_applicable(evidence, _CHECK, why, "declared_values").model_copy(update={"at": "candidate"})]
    if scored_with(evidence.variant) != evidence.variant:
        return [*checks, *_texts(evidence)]
    if not evidence.baseline_only:
        checks.append(_as_declared(evidence, "reference", evidence.reference.modules(), evidence.inputs.reference))
    return [*checks, *_ids(evidence), *_texts(evidence), *_files(evidence)]


class _Fact(NamedTuple):
    """A fact about the model, as its files and as its modules have it."""

    name: str
    declared: Declared
    told: list[ModuleValue]

    @property
    def broken(self) -> str | None:
        """What a module was made with though the files say otherwise; None where there is no such module."""
        for one in self.told:
            if not any(_same(self.name, one.value, value) for value in self.declared.values):
                return f"has {self.name} {_shown(self.name, one.value)} at {one.at}"
        for value in self.declared.values:
            if not any(_same(self.name, one.value, value) for one in self.told):
                return f"has no module with {self.name} {_shown(self.name, value)}"
        return None


def _as_declared(evidence: Evidence, at: str, told: Sequence[ModuleValue] | None, declared: Declarations) -> Result:
    facts = [
        _Fact(name, one, found)
        for name, one in declared.facts.items()
        if (found := [entry for entry in told or () if entry.fact == name])
    ]
    side = "the engine" if at == "candidate" else "the reference"
    broken = [f"{fact.declared.source}; {side} {fact.broken}" for fact in facts if fact.broken is not None]
    where = first(broken) if facts else f"{side} reported no value that can be compared with its files"
    check = all_of(evidence, _CHECK, "declared_values", broken, where, len(facts), path="none", at=at)
    untold = [name for name in declared.facts if name not in {fact.name for fact in facts}]
    words = [f"not reported: {', '.join(untold)}"] if untold else []
    # What both sides have most often read wrongly; the rest agreeing says nothing of it.
    if check.verdict == "pass" and FREQUENCIES in untold:
        check = check.model_copy(update={"verdict": "inconclusive"})
    for why in dict.fromkeys(declared.unknown.values()):
        words.append(
            f"not judged: {', '.join(name for name, other in declared.unknown.items() if other == why)} ({why})"
        )
    return check.model_copy(update={"message": "; ".join(words) or None})


def _same(fact: str, told: object, value: object) -> bool:
    if fact not in (FREQUENCIES, SCALE):
        return (tuple(told) if isinstance(told, list) else told) == value
    mine, theirs = (np.atleast_1d(np.asarray(one, dtype=np.float64)) for one in (told, value))
    return mine.shape == theirs.shape and bool((np.abs(mine - theirs) <= _ROUNDED * np.abs(theirs)).all())


def _shown(fact: str, value: object) -> str:
    if isinstance(value, list | tuple):
        numbers = [float(one) for one in value]
        if fact == FREQUENCIES:
            return f"from {numbers[0]:.6g} to {numbers[-1]:.6g} radians a token{_base(numbers)}"
        return "[" + ", ".join(f"{one:g}" for one in numbers) + "]"
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value)


def _base(frequencies: Sequence[float]) -> str:
    """The base that plain frequencies are of; empty where they are of another kind."""
    pairs = len(frequencies)
    if pairs < 2 or min(frequencies) <= 0:
        return ""
    base = (frequencies[0] / frequencies[-1]) ** (pairs / (pairs - 1))
    plain = base ** (-np.arange(pairs) / pairs)
    return f", rope_theta {float(f'{base:.3g}'):.12g}" if _same(FREQUENCIES, list(frequencies), plain.tolist()) else ""


def _ids(evidence: Evidence) -> Iterator[Result]:
    """The run's prompts by tokenizer.json alone."""
    metric = "tokenizer_ids"
    if evidence.long_texts:
        return
    if evidence.second_ids is None:
        yield not_applicable(evidence, _CHECK, "the checkpoint has no tokenizer.json", metric)
        return
    broken = []
    for answer, forms in zip(evidence.candidate.answers, evidence.second_ids, strict=True):
        if answer.prompt_ids not in forms:
            at = first_difference(answer.prompt_ids, forms[0])
            mine, theirs = (list(ids[at : at + 3]) for ids in (answer.prompt_ids, forms[0]))
            broken.append(
                f"{answer.prompt}: ids {mine} from index {at}, by tokenizer.json alone {theirs}: the class that "
                "tokenizer_config.json names splits text otherwise"
            )
    yield all_of(evidence, _CHECK, metric, broken, first(broken), path="none")


def _texts(evidence: Evidence) -> Iterator[Result]:
    """The engine's own answers by tokenizer.json alone."""
    metric = "tokenizer_texts"
    own = [answer for answer in evidence.candidate.answers if answer.decoded is not None]
    if not own:
        why = "the tokens were given, or the checkpoint has no tokenizer.json"
        yield not_applicable(evidence, _CHECK, why, metric)
        return
    broken = [
        f"{answer.prompt}: the engine's text {answer.text!r}, by tokenizer.json alone {answer.decoded!r}"
        for answer in own
        if _words(answer.text) != _words(answer.decoded or "")
    ]
    yield all_of(evidence, _CHECK, metric, broken, first(broken), len(own))


def _words(text: str) -> str:
    """Without what decoding token by token may leave out: parts of characters, and space at the edges."""
    return text.replace("\ufffd", "").strip()


def _files(evidence: Evidence) -> Iterator[Result]:
    """The candidate's files against the published ones."""
    if (found := evidence.inputs.own_files if evidence.inputs else None) is not None:
        yield all_of(
            evidence, _CHECK, "published_keys", found.differences, first(found.differences), found.keys, path="none"
        )
