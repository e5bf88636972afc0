"""A made-up server's record beside a scene: clean, to be changed by a test before it is judged."""

from collections.abc import Callable

import numpy as np

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.metrics import log_softmax
from npu_conformance.traces.serving import (
    Cut,
    Defaults,
    First,
    HungUp,
    Listed,
    Read,
    Refused,
    Said,
    Served,
    Stopped,
    Streamed,
    Times,
    save_served,
)
from npu_conformance.traces.trace import WITHOUT_ADAPTER, Answer, Trace, load_trace, save_trace
from tests.unit.helpers.scenes import LOG, Scene, named

MODEL, LORA = "a/b", "a/lora"
TEXT = "Safety: Safe word"
Change = Callable[[Served], Served]


def said_of(answer: Answer, **changes: object) -> Said:
    """What a server says that says the same."""
    read, count = len(answer.prompt_ids), len(answer.token_ids)
    told = Said(
        prompt=answer.prompt,
        model=LORA,
        text=TEXT,
        token_ids=answer.token_ids,
        finish_reason="length",
        prompt_tokens=read,
        completion_tokens=count,
        total_tokens=read + count,
        log_probs=count,
    )
    return told.model_copy(update=changes)


def clean_record(scene: Scene) -> Served:
    """Of a server that does all as it should."""
    base = load_trace(scene.folder / "candidate")
    answers = tuple(said_of(one) for one in base.answers)
    chat = tuple(one.model_copy(update={"route": "chat"}) for one in answers)
    routes = (answers[0], chat[0])
    short = answers[0].model_copy(update={"token_ids": base.answers[0].token_ids[:8]})
    stopped = said_of(base.answers[0], text="It is ", finish_reason="stop")
    reads = [(one, route) for one in base.answers for route in ("completions", "chat")]
    return Served(
        model=MODEL,
        adapter=LORA,
        listed=(Listed(id=MODEL, root="there", max_model_len=64), Listed(id=LORA, root="lora", parent=MODEL)),
        answers=answers,
        chat=chat,
        read=tuple(
            Read(prompt=one.prompt, route=route, expected=one.prompt_ids, found=one.prompt_ids, count=3)
            for one, route in reads
        ),
        defaults=Defaults(declared={}, said=answers),
        streams=tuple(Streamed(whole=one, parts=one, ended=True, chunks=9) for one in routes),
        stops=(Stopped(stop="Saf", whole="It is Safe", said=stopped),),
        cuts=(Cut(max_tokens=8, whole=base.answers[0].token_ids, said=short),),
        without_adapter=answers[:1],
        firsts=tuple(_firsts(base)),
        clients=16,
        crowd=tuple(Times(said=one, times=4) for one in answers),
        repeated=(Times(said=answers[0], times=50),),
        refused=(Refused(what="a wrong name", status=404, told="{}", as_error=True, after=short),),
        hung_up=HungUp(running=0, after=short),
    )


def _firsts(base: Trace) -> list[First]:
    bare = base.part(WITHOUT_ADAPTER)
    assert bare is not None
    found = []
    for index, answer in enumerate(base.answers):
        for name, side in ((LORA, base), (MODEL, bare)):
            row = log_softmax(side.logits(index, slice(1)))[0]
            top = np.argsort(-row)[:5].tolist()
            likely = {word: float(row[word]) for word in top}
            found.append(First(prompt=answer.prompt, name=name, token=top[0], log_probs=likely))
    return found


def serving(scene: Scene, change: Change = lambda served: served) -> Evidence:
    """The evidence on the variant, its record changed."""
    folder = scene.folder / "serving" / "candidate"
    folder.mkdir(parents=True, exist_ok=True)
    base = load_trace(scene.folder / "candidate")
    mine = [Answer(one.prompt, one.prompt_ids, one.token_ids, one.text, decoded=one.text) for one in base.answers]
    save_trace(folder, mine, eos_token_ids=[0], provenance={"engine": "openai", "log": LOG})
    save_served(folder, change(clean_record(scene)))
    plain = scene.evidence()
    return Evidence(
        variant="serving",
        config=scene.config.model_copy(update={"adapter": LORA}),
        prompts=scene.prompts,
        candidate=load_trace(folder),
        reference=plain.reference,
        noise=plain.noise,
        scan=scene.scan,
        inputs=plain.inputs,
        second_ids=plain.second_ids,
        base=scene.base(),
    )


def judged(evidence: Evidence) -> dict[str, set[str]]:
    """Of each check, the metrics that fail; those that find nothing to judge are left out."""
    found: dict[str, set[str]] = {}
    for name, check in CHECKS.items():
        results = check.judge(evidence)
        if any(one.verdict != "not_applicable" for one in results):
            found[name] = {named(one) for one in results if one.verdict in ("fail", "error", "inconclusive")}
    return found
