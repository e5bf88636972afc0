"""The server's answers whichever way they are asked for: in the chat, as streams, cut short, and counted."""

from collections.abc import Iterator

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.served_record import parts, record
from npu_conformance.measure.results import Result
from npu_conformance.traces.serving import Cut, Said, Stopped, Streamed


@check(
    chinese="经对话接口得到的回答与经补全接口得到的回答相同。",
    requires=("served",),
    metrics=("chat_tokens", "chat_texts"),
)
def served_chat(evidence: Evidence) -> list[Result]:
    """An answer in the chat is the answer to the same token ids."""
    served = record(evidence)
    if not served.chat:
        return [not_applicable(evidence, "served_chat", "no prompt is judged in the chat template")]
    whole = {one.prompt: one for one in served.answers}
    tokens = [problem for one in served.chat if (problem := parts(evidence, one, whole[one.prompt])) is not None]
    found = [all_of(evidence, "served_chat", "chat_tokens", tokens, first(tokens), len(served.chat))]
    if "reasoning_parser" in evidence.config.serve.engine_args:
        why = "the server's parser of reasoning takes marks out of the text"
        return [*found, not_applicable(evidence, "served_chat", why, "chat_texts")]
    same = [one for one in served.chat if one.token_ids == whole[one.prompt].token_ids]
    texts = [
        f"{one.prompt}: {one.text!r} in the chat, {whole[one.prompt].text!r} as a completion"
        for one in same
        if one.text != whole[one.prompt].text
    ]
    if not same:
        return [*found, not_applicable(evidence, "served_chat", "all answers part at a tie", "chat_texts")]
    return [*found, all_of(evidence, "served_chat", "chat_texts", texts, first(texts), len(same))]


@check(
    chinese="流式回答的各部分拼接起来就是完整的回答。",
    requires=("served",),
    metrics=("whole_streams",),
)
def served_streams(evidence: Evidence) -> list[Result]:
    """The parts of a stream are the whole answer: no token, no text and no end is lost."""
    streams = record(evidence).streams
    wrong = [problem for one in streams if (problem := _unlike(evidence, one)) is not None]
    return [all_of(evidence, "served_streams", "whole_streams", wrong, first(wrong), len(streams))]


def _unlike(evidence: Evidence, one: Streamed) -> str | None:
    said, whole = one.parts, one.whole
    name = f"{whole.prompt} ({whole.route}, {one.chunks} parts)"
    told = None if said.token_ids is None else len(said.token_ids)
    if not one.ended:
        return f"{name}: the stream ends without saying so"
    if None not in (told, said.completion_tokens) and told != said.completion_tokens:
        return f"{name}: its parts have {told} tokens, the server counts {said.completion_tokens}"
    if said.token_ids != whole.token_ids:
        return parts(evidence, said, whole)
    if said.text != whole.text:
        return f"{name}: its parts say {said.text!r}, the whole answer {whole.text!r}"
    if said.finish_reason != whole.finish_reason:
        return f"{name}: finished by {said.finish_reason!r}, the whole answer by {whole.finish_reason!r}"
    return None


@check(
    chinese="回答在停止字符串处和在 max_tokens 处结束，其结束原因与之相符。",
    requires=("served",),
    metrics=("stopped_answers", "cut_answers"),
)
def served_ends(evidence: Evidence) -> list[Result]:
    """An answer ends at a stop string and after max_tokens tokens, and says why."""
    served = record(evidence)
    stops = [problem for one in served.stops if (problem := _not_stopped(one)) is not None]
    cuts = [problem for one in served.cuts if (problem := _not_cut(evidence, one, served.answers)) is not None]
    return [
        all_of(evidence, "served_ends", "stopped_answers", stops, first(stops), len(served.stops))
        if served.stops
        else not_applicable(evidence, "served_ends", "no answer has text to stop at", "stopped_answers"),
        all_of(evidence, "served_ends", "cut_answers", cuts, first(cuts), len(served.cuts))
        if served.cuts
        else not_applicable(evidence, "served_ends", "no answer has two tokens", "cut_answers"),
    ]


def _not_stopped(one: Stopped) -> str | None:
    said = one.said
    expected = one.whole[: one.whole.find(one.stop)]
    if said.text != expected:
        return f"{said.prompt}: with the stop string {one.stop!r} it says {said.text!r}, expected {expected!r}"
    if said.finish_reason != "stop":
        return f"{said.prompt}: it stops at {one.stop!r} and says that it finished by {said.finish_reason!r}"
    return None


def _not_cut(evidence: Evidence, one: Cut, answers: tuple[Said, ...]) -> str | None:
    said, count = one.said, len(one.said.token_ids or ())
    if count != one.max_tokens:
        return f"{said.prompt}: has {count} tokens with max_tokens {one.max_tokens}"
    if said.finish_reason != "length":
        return f"{said.prompt}: ends after max_tokens {one.max_tokens}, says it finished by {said.finish_reason!r}"
    if said.token_ids == one.whole[: one.max_tokens]:
        return None
    # Of a prefix of base's answer nothing differs; what parts from it must do so at a tie.
    whole = next(answer for answer in answers if answer.prompt == said.prompt)
    longer = said.model_copy(update={"token_ids": (*(said.token_ids or ()), *one.whole[one.max_tokens :])})
    return parts(evidence, longer, whole)


@check(
    chinese="服务器所报的 token 数与实际相符，每个 token 都带有对数概率。",
    requires=("served",),
    metrics=("usage_counts", "served_log_probs"),
)
def served_counts(evidence: Evidence) -> list[Result]:
    """The server counts the tokens that it read and said, and tells a log-probability of each."""
    served = record(evidence)
    lengths = {one.prompt: len(one.prompt_ids) for one in evidence.candidate.answers}
    counts = [problem for one in served.answers if (problem := _miscounted(one, lengths[one.prompt])) is not None]
    untold = [problem for one in served.answers for problem in _untold(one)]
    n = len(served.answers)
    return [
        all_of(evidence, "served_counts", "usage_counts", counts, first(counts), n, path="none"),
        all_of(evidence, "served_counts", "served_log_probs", untold, first(untold), n),
    ]


def _miscounted(one: Said, prompt: int) -> str | None:
    said = len(one.token_ids or ())
    told = (one.prompt_tokens, one.completion_tokens, one.total_tokens)
    if told == (prompt, said, prompt + said):
        return None
    return f"{one.prompt}: counts {told} tokens read, said and in all, expected {(prompt, said, prompt + said)}"


def _untold(one: Said) -> Iterator[str]:
    if one.log_probs != len(one.token_ids or ()):
        yield f"{one.prompt}: log-probabilities of {one.log_probs} of {len(one.token_ids or ())} tokens"
    elif one.wrong_log_probs:
        yield f"{one.prompt}: at {one.wrong_log_probs} tokens no log-probability, or not of the token that it said"
