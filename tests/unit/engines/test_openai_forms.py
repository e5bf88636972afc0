"""Servers that tell tokens in another form: by their text, as llama.cpp's does, and not all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models

from npu_conformance.engines.openai.client import Form, Question, Server
from npu_conformance.engines.openai.learning import learn
from npu_conformance.engines.openai.replies import Completion, Names, Reply, read_reply
from npu_conformance.engines.openai.token_names import TokenNames
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.engines.tokenizer_file import TokenizerFile, tokenizer_file
from tests.unit.helpers.fake_openai import Sent, faking

# Three bytes of one character, of which two alone are no text.
WORDS = ["a", "b", "Ġc", "é", "æ", "±", "ĩ", "d"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> TokenizerFile:
    """A tokenizer of bytes."""
    made = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(WORDS)}, merges=[]))
    made.decoder = decoders.ByteLevel()
    made.save(str(tmp_path / "tokenizer.json"))
    found = tokenizer_file(tmp_path)
    assert found is not None
    return found


def reply(names: Names, choice: dict[str, Any], *, told: int | None = None) -> Reply:
    """What is read of an answer of up to four tokens."""
    answer = Completion.model_validate({"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": told}})
    return read_reply("http://host", names, (1, 2), 4, answer)


def by_text(tokens: Sequence[str], *tops: dict[str, float]) -> dict[str, Any]:
    """In OpenAI's own form."""
    return {"logprobs": {"tokens": list(tokens), "top_logprobs": list(tops)}}


def test_a_text_gives_the_id_where_one_token_has_it(tokenizer: TokenizerFile) -> None:
    """A likely one whose text several have is left out, and is among all others then."""
    names = TokenNames(tokenizer)
    broken = tokenizer.pieces()[3]
    found = reply(Names(names, names), by_text([" c"], {" c": -0.1, broken: -3.0, "d": -4.0, "none": -5.0}))

    assert broken == "\ufffd"
    assert names.how_many(broken) == 4
    assert found.said == ((2, {2: -0.1, 7: -4.0}),)
    with pytest.raises(ServerError, match="4 tokens of the published tokenizer have it: which one was chosen"):
        reply(Names(names, names), by_text([broken], {broken: -0.1, "a": -2.0}))


def test_a_server_of_text_is_asked_in_text(tokenizer: TokenizerFile) -> None:
    """Where it takes no ids and names tokens by their text; its count of tokens must be right."""

    def texts(path: str, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any] | Sent:
        if path.endswith("/models"):
            return answer
        if not isinstance(asked["prompt"], str) or "return_token_ids" in asked:
            return Sent(400, {"error": "unknown"})
        usage = None if asked["prompt"] == "a" else {"prompt_tokens": 2}
        return {"choices": [by_text(["a"], {"a": -0.1, "b": -3.0})], "usage": usage}

    with faking(texts) as server:
        asking = Server(server.url, None, "none")
        learn(asking, (0, 7), tokenizer)
        assert (asking.form.ids, asking.form.more, asking.form.names is not None) == (False, False, True)
        assert asking.answer(Question((0, 7), 1)).said == ((0, {0: -0.1, 1: -3.0}),)
        with pytest.raises(ServerError, match="read 2 tokens of a prompt that has 3"):
            asking.answer(Question((0, 7, 7), 1))
        with pytest.raises(ServerError, match="does not say how many tokens it read"):
            asking.answer(Question((0,), 1))
    assert [asked["prompt"] for _, asked in server.asked[-2:]] == ["add", "a"]


def position(token: int, text: str) -> dict[str, Any]:
    """In llama.cpp's form."""
    tops = [{"id": token, "token": text, "logprob": -0.1}, {"id": 6, "token": "x", "logprob": -4.0}]
    return {"id": token, "token": text, "logprob": -0.1, "top_logprobs": tops}


def test_ids_in_another_form_are_read(tokenizer: TokenizerFile) -> None:
    """Whatever the texts are."""
    names = Names(None, TokenNames(tokenizer))
    found = reply(names, {"logprobs": {"content": [position(0, "a"), position(2, " c")]}}, told=2)

    assert found.said == ((0, {0: -0.1, 6: -4.0}), (2, {2: -0.1, 6: -4.0}))
    assert not found.untold


def test_an_answer_is_cut_before_a_token_that_is_left_out(tokenizer: TokenizerFile) -> None:
    """Its bytes are in the next one's text; or it was the last."""
    names = Names(None, TokenNames(tokenizer))
    content = [position(0, "a"), position(7, "éd"), position(1, "b")]
    for given, kept in ((content, 1), ([content[0], content[2]], 2)):
        found = reply(names, {"logprobs": {"content": given}}, told=4)
        assert (len(found.said), found.untold) == (kept, True)
    with pytest.raises(ServerError, match="leaves tokens out of what it tells of its answer, and nothing shows which"):
        reply(Names(), {"logprobs": {"content": content}}, told=4)


def test_a_form_is_asked_for_as_it_says() -> None:
    """Nothing that OpenAI's API lacks, where a server refuses that."""
    with faking() as server:
        asking = Server(server.url, None, "none")
        asking.form = Form(more=False, top=3)
        asking.answer(Question((3, 1), 1, salt="salt"))
    asked = server.asked[-1][1]

    assert not {"cache_salt", "top_k", "return_token_ids", "cache_prompt"} & asked.keys()
    assert (asked["logprobs"], asked["temperature"]) == (3, 0.0)
