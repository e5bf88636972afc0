"""A server serves what was judged: under its names, of the same token ids, with the same sampling."""

from collections.abc import Iterator

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.served_record import base_of, index_of, parts, record
from npu_conformance.measure.results import Result
from npu_conformance.traces.serving import Defaults, Read, Route, Said, Served
from npu_conformance.traces.tokens import first_difference

# What changes a greedy answer where a request does not name it, and the value that changes nothing.
_NEUTRAL = {"repetition_penalty": 1.0}


@check(
    chinese="服务器以各自的名称提供模型和 LoRA，并以被请求的名称回答。",
    requires=("served",),
    metrics=("served_names", "answered_names"),
    cause="input",
)
def served_models(evidence: Evidence) -> list[Result]:
    """The server lists the model and its LoRA under their names, and answers as what it was asked for."""
    served = record(evidence)
    names, known = [served.model, served.adapter] if served.adapter else [served.model], _aliases(served)
    lost = list(_unlisted(served))
    asked = served.adapter or served.model
    answers = [*served.answers, *served.chat]
    other = [
        f"{one.prompt}: asked for {asked}, answers as {one.model}"
        for one in answers
        if one.model not in (None, asked, *known.get(asked, ()))
    ]
    return [
        all_of(evidence, "served_models", "served_names", lost, first(lost), len(names), path="none"),
        all_of(evidence, "served_models", "answered_names", other, first(other), len(answers), path="none"),
    ]


def _aliases(served: Served) -> dict[str, set[str]]:
    """Names of the same weights: one of several may answer as its first."""
    return {
        one.id: {other.id for other in served.listed if other.root == one.root and other.parent == one.parent}
        for one in served.listed
        if one.root is not None
    }


def _unlisted(served: Served) -> Iterator[str]:
    listed = {one.id: one for one in served.listed}
    if served.model not in listed:
        yield f"{served.model} is not among the models it lists: {', '.join(listed) or 'none'}"
    if served.adapter is None:
        return
    if served.adapter not in listed:
        yield f"the LoRA {served.adapter} is not among the models it lists: {', '.join(listed) or 'none'}"
    elif (parent := listed[served.adapter].parent) not in (None, served.model, *_aliases(served).get(served.model, ())):
        yield f"the LoRA {served.adapter} is listed as one of {parent}, not of {served.model}"


@check(
    chinese="服务器对文本和对话的分词与检查点自身的分词器和对话模板一致，且不重复添加 BOS。",
    requires=("served",),
    metrics=("served_text_ids", "served_chat_ids"),
    cause="input",
)
def served_prompts(evidence: Evidence) -> list[Result]:
    """The server makes of texts and of messages the token ids that the checkpoint's tokenizer and template make."""
    served = record(evidence)
    return [_read(evidence, served, route) for route in ("completions", "chat")]


def _read(evidence: Evidence, served: Served, route: Route) -> Result:
    metric = "served_text_ids" if route == "completions" else "served_chat_ids"
    asked = [one for one in served.read if one.route == route]
    if not asked and route == "chat":
        return not_applicable(evidence, "served_prompts", "the checkpoint has no chat template", metric)
    base = base_of(evidence)
    wrong = []
    for one in asked:
        judged = evidence.prompts[index_of(base, one.prompt)].chat == (route == "chat")
        expected = base.answers[index_of(base, one.prompt)].prompt_ids if judged and route == "chat" else one.expected
        if (problem := _misread(one, expected)) is not None:
            wrong.append(f"{one.prompt}: {problem}")
    return all_of(evidence, "served_prompts", metric, wrong, first(wrong), len(asked), path="none")


def _misread(one: Read, expected: tuple[int, ...]) -> str | None:
    what = "of a text" if one.route == "completions" else "of messages"
    if one.found is None:
        same = one.count == len(expected)
        return None if same else f"the server makes {one.count} tokens {what}, expected {len(expected)}"
    if one.found == expected:
        return None
    if one.found[:1] == expected[:1] and one.found[1:] == expected:
        return f"the server makes {what} the right ids, but the first, {expected[0]}, stands twice: a second BOS"
    at = first_difference(one.found, expected)
    return (
        f"the server makes {len(one.found)} tokens {what}, expected {len(expected)}: {list(one.found[at : at + 3])} "
        f"from index {at}, expected {list(expected[at : at + 3])}"
    )


@check(
    chinese="只要求贪心而未指定其他采样参数的请求，得到的仍是被判定的回答。",
    requires=("served",),
    metrics=("greedy_settings", "default_answers"),
    cause="input",
)
def served_defaults(evidence: Evidence) -> list[Result]:
    """A request that says greedy and nothing else of sampling gets the answers that were judged."""
    served = record(evidence)
    defaults = served.defaults
    changed = [
        f"generation_config asks for {name} {defaults.declared[name]}, judged with {neutral}: the server takes it "
        "where a request names none; serve with engine_args: {generation_config: vllm}, or write it into every request"
        for name, neutral in _NEUTRAL.items()
        if name in defaults.declared and defaults.declared[name] != neutral
    ]
    differ = [problem for one in defaults.said if (problem := parts(evidence, one, _whole(served, one))) is not None]
    results = [
        all_of(evidence, "served_defaults", "greedy_settings", changed, first(changed), len(_NEUTRAL), path="none"),
        all_of(evidence, "served_defaults", "default_answers", differ, first(differ), len(defaults.said)),
    ]
    return [one.model_copy(update={"message": _unjudged(defaults)}) for one in results]


def _whole(served: Served, one: Said) -> Said:
    """The answer to the same prompt with all sampling written out."""
    return next(other for other in served.answers if other.prompt == one.prompt)


def _unjudged(defaults: Defaults) -> str | None:
    others = {name: value for name, value in defaults.declared.items() if name not in _NEUTRAL}
    if not others:
        return None
    told = ", ".join(f"{name} {value}" for name, value in others.items())
    return f"not judged, for judged answers are greedy; served where a request names none: {told}"
