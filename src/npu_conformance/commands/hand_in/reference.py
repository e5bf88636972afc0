"""The reference computed again with the weights, at prompts chosen at random: what data and manifest cannot hold."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.commands.hand_in.findings import Finding, differs, follows, unchecked
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import ConformanceError, WeightsError
from npu_conformance.measure.reference_runs import reference
from npu_conformance.measure.topk import topk
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.traces.trace import Answer, Trace, load_trace, save_trace
from npu_conformance.workers.progress import Narrator

WHAT = "reference"
# Of a log-probability in float32, computed on another machine in another order.
_CLOSE = 2e-3
_FOLDER = "verified"


def reference_again(settings: Settings, data: HandedData, count: int, seed: int) -> Iterator[Finding]:
    """Whether the reference says the same again, at some prompts.

    Args:
        settings: configs of the hand-in, and where weights are.
        data: of the hand-in.
        count: of prompts.
        seed: of the choice.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = Session(settings, Path(folder), Narrator())
        if (why := session.missing(data.model)) is not None:
            yield unchecked(WHAT, why)
            return
        try:
            yield from _again(session, data, count, seed)
        except WeightsError as error:
            yield unchecked(WHAT, str(error))
        except ConformanceError as error:
            yield unchecked(WHAT, f"could not be computed here: {error}")


def _again(session: Session, data: HandedData, count: int, seed: int) -> Iterator[Finding]:
    run = session.model_run(data.model)
    facts = SubjectFacts.model_validate_json((run.traces / "subject.json").read_bytes())
    if facts.reference_digest != data.reference_digest:
        yield unchecked(
            WHAT, f"other weights are here: {facts.reference_digest}, the hand-in names {data.reference_digest}"
        )
        return
    yield follows("weights of the reference", f"have the digest {data.reference_digest}")
    yield _prompt_ids(run.traces / "rendered.json", data)
    chosen = sorted(random.Random(seed).sample(range(len(data.prompts)), min(count, len(data.prompts))))  # noqa: S311
    place = run.traces / _FOLDER
    (place / "candidate").mkdir(parents=True)
    save_trace(
        place / "candidate", _answers(data, chosen), eos_token_ids=data.eos_token_ids, provenance={}, forced=True
    )
    config = session.config(data.model)
    run.references.score(place, (reference(config.serve.dtype, config.reference.attn_implementation),))
    yield from _compared(load_trace(place / "reference"), data, chosen)


def _prompt_ids(rendered: Path, data: HandedData) -> Finding:
    found = load_rendered(rendered)
    ids = dict(zip((one.id for one in found.prompts), found.prompt_ids, strict=True))
    wrong = [one.id for one in data.prompts if one.id in ids and ids[one.id] != tuple(one.prompt_ids.array().tolist())]
    there = [one.id for one in data.prompts if one.id in ids]
    if wrong:
        return differs("prompt token ids", f"{wrong[0]}: the tokenizer gives others here")
    if not there:
        return unchecked("prompt token ids", "none of the prompts is in the sets that the YAML names here")
    return follows("prompt token ids", f"of {len(there)} prompts, by the tokenizer at hand")


def _answers(data: HandedData, chosen: Sequence[int]) -> list[Answer]:
    spans = list(pairwise(data.bounds))
    return [
        Answer(
            data.prompts[place].id,
            tuple(data.prompts[place].prompt_ids.array().tolist()),
            tuple(data.tokens[slice(*spans[place])].tolist()),
            data.prompts[place].text,
        )
        for place in chosen
    ]


def _compared(again: Trace, data: HandedData, chosen: Sequence[int]) -> Iterator[Finding]:
    for index, place in enumerate(chosen):
        span = data.spans()[place]
        kept, rows = data.exact.log_probs[span], again.logits(index)
        if rows.shape[1] != data.vocabulary:
            yield differs(WHAT, f"a vocabulary of {rows.shape[1]} words here, of {data.vocabulary} in the hand-in")
            return
        now = topk(rows, data.words[span]).log_probs
        away = np.abs(now - kept) - _CLOSE * np.maximum(1, np.abs(kept) / 10)
        worst = int(away.max(axis=1).argmax())
        name = f"{WHAT}: {data.prompts[place].id}"
        if not away.max() <= 0:  # written so that NaN differs
            most = np.abs(now - kept)[worst].max()
            told = f"position {worst}: log-probabilities are up to {most:.3g} off those handed in"
            yield differs(name, told)
        else:
            yield follows(name, f"{len(kept)} positions, at most {np.abs(now - kept).max():.2g} off")
