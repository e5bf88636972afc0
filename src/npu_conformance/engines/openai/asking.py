"""What is asked of a server: its own answers, one request at a time, and all that can be asked about them."""

import dataclasses
from collections.abc import Sequence

from npu_conformance.engines.openai.asked import Asked
from npu_conformance.engines.openai.client import Question, Server
from npu_conformance.engines.openai.replies import Reply
from npu_conformance.engines.openai.rows import rows_of
from npu_conformance.engines.openai.scenarios import batch_cases
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.engines.rendering import as_messages
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.traces.topk_rows import TopKRows, save_topk
from npu_conformance.traces.trace import PREFILL, Answer, Trace, save_cases, save_trace


def choose(asked: Asked) -> list[Answer]:
    """The server's own answers, twice, in batches, and as one prefill each where it can."""
    job, rendered = asked.job, asked.rendered
    questions = [
        Question(ids, length) for ids, length in zip(rendered.prompt_ids, rendered.lengths(job.max_tokens), strict=True)
    ]
    first = asked.replies("generating, one request at a time", questions, asked.names)
    rows = [rows_of(asked.server, name, one.said) for name, one in zip(asked.names, first, strict=True)]
    for index, one in enumerate(rows):
        save_topk(asked.stage, index, one)
    answers = _answers(asked, first)
    if asked.server.form.repeats:
        again = asked.replies("generating again", questions, asked.names)
        answers = [
            dataclasses.replace(
                answer,
                repeat_token_ids=tuple(token.token for token in one.said),
                repeat_digests=rows_of(asked.server, answer.prompt, one.said).digests,
            )
            for answer, one in zip(answers, again, strict=True)
        ]
    answers = _with_own_ids(asked, answers)
    save_cases(asked.stage, batch_cases(asked, answers, rows))
    if asked.server.form.prompt_log_probs:
        _leave_prefill(asked, answers)
    return answers


def _answers(asked: Asked, replies: Sequence[Reply]) -> list[Answer]:
    file = tokenizer_file(asked.job.checkpoint)
    found = []
    for name, ids, one in zip(asked.names, asked.rendered.prompt_ids, replies, strict=True):
        tokens = tuple(token.token for token in one.said)
        decoded = None if file is None else file.text(tokens)
        ended = None if one.untold else one.finish_reason
        text = None if one.untold else decoded
        answer = Answer(name, ids, tokens, one.text, finish_reason=ended, decoded=text, untold=one.untold)
        found.append(answer)
    return found


def _with_own_ids(asked: Asked, answers: Sequence[Answer]) -> list[Answer]:
    """The answers with what the server makes of the prompts' own texts and messages.

    Raises:
        ServerError: it cannot be asked; or it tells no ids, and another number of tokens than the published tokenizer
            gives.
    """
    found = []
    for index, answer in enumerate(answers):
        asked.progress("asking what it makes of texts", index, len(answers))
        prompt = asked.rendered.prompts[index]
        chat = asked.rendered.chat[index]
        said, sent = (as_messages(prompt), "messages") if chat else (prompt.text, "a text")
        try:
            ids, count = asked.server.own_ids(said, asked.job.chat_template_kwargs)
        except ServerError as error:
            raise ServerError(f"{answer.prompt}: {error} (asking what it makes of {sent})") from error
        asked.requests += 1
        if ids is None and count != len(answer.prompt_ids):
            raise ServerError(
                f"{answer.prompt}: {asked.server.url}: makes {count} tokens of {sent} of which the published tokenizer "
                f"makes {len(answer.prompt_ids)}: it has another tokenizer, or another chat template"
            )
        found.append(dataclasses.replace(answer, own_prompt_ids=ids))
    return found


def _leave_prefill(asked: Asked, answers: Sequence[Answer]) -> None:
    """Each prompt with its answer in one prefill, as a part of the trace."""
    folder = asked.stage / PREFILL
    folder.mkdir()
    for index, rows in enumerate(_prefilled(asked, answers)):
        save_topk(folder, index, rows)
    kept = [dataclasses.replace(one, repeat_token_ids=None, repeat_digests=None) for one in answers]
    save_trace(folder, kept, eos_token_ids=asked.rendered.eos_token_ids, provenance={}, forced=True, rows="topk")


def _prefilled(asked: Asked, answers: Sequence[Answer]) -> list[TopKRows]:
    questions = [Question((*one.prompt_ids, *one.token_ids), 1, of_prompt=True) for one in answers]
    replies = asked.replies("scoring answers in one prefill", questions, [one.prompt for one in answers])
    return [
        rows_of(asked.server, one.prompt, _at_tokens(asked.server, one.token_ids, reply))
        for one, reply in zip(answers, replies, strict=True)
    ]


def _at_tokens(server: Server, tokens: Sequence[int], reply: Reply) -> list[tuple[int, dict[int, float]]]:
    if reply.of_prompt is None:
        raise ServerError(f"{server.url}: gave log-probabilities of a prompt's tokens at first, and gives none now")
    there = reply.of_prompt[len(reply.of_prompt) - len(tokens) :]
    return list(zip(tokens, there, strict=True))


def take(asked: Asked, given: Trace) -> list[Answer]:
    """The log-probabilities at the tokens of another trace: in one prefill, or token by token where it cannot.

    The second takes a request a token, which is told before.
    """
    if asked.server.form.prompt_log_probs:
        found = _prefilled(asked, given.answers)
    else:
        found = _one_by_one(asked, given.answers)
    for index, rows in enumerate(found):
        save_topk(asked.stage, index, rows)
    return [Answer(one.prompt, one.prompt_ids, one.token_ids, one.text) for one in given.answers]


def _one_by_one(asked: Asked, answers: Sequence[Answer]) -> list[TopKRows]:
    total = sum(len(one.token_ids) for one in answers)
    print(f"{asked.server.url}: gives no log-probabilities of a prompt's tokens: {total} requests of one token each")
    questions = [
        Question((*one.prompt_ids, *one.token_ids[:step]), 1) for one in answers for step in range(len(one.token_ids))
    ]
    names = [one.prompt for one in answers for _ in one.token_ids]
    said = iter(asked.replies(f"scoring tokens, a request each ({total})", questions, names))
    return [
        rows_of(asked.server, one.prompt, [(token, _first(next(said))) for token in one.token_ids]) for one in answers
    ]


def _first(reply: Reply) -> dict[int, float]:
    """What is likely at the position; a server that stops there without a token told nothing of it."""
    return reply.said[0].log_probs if reply.said else {}
