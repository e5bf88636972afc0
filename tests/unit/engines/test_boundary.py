"""Probes end at the edges of blocks and share one beginning; long texts are long."""

import pytest

from npu_conformance.engines.vllm.boundary import boundary, long_texts
from npu_conformance.engines.vllm.generation import Request

PROMPTS = ((7, 8), (1, 2, 3, 4, 5), (9, 9, 9))
TEXT = [1, 2, 3, 4, 5, 9, 9, 9, 7, 8] * 500
"""The longest prompt first, again and again."""


def text_of(request: Request) -> list[int]:
    """All tokens of a request; what follows its prompt is forced."""
    assert request.forced is not None
    assert request.length == len(request.forced)
    assert request.joins == 0
    return [*request.prompt_ids, *request.forced]


@pytest.mark.parametrize("block", [8, 16, 128])
def test_cuts_at_the_edges_of_blocks(block: int) -> None:
    """A token before, at, and a token after the end of one block and of two."""
    found = boundary(PROMPTS, block, 10_000)

    assert {name: len(request.prompt_ids) for name, request in found.items()} == {
        "boundary/1 block - 1 token": block - 1,
        "boundary/1 block": block,
        "boundary/1 block + 1 token": block + 1,
        "boundary/2 blocks - 1 token": 2 * block - 1,
        "boundary/2 blocks": 2 * block,
        "boundary/2 blocks + 1 token": 2 * block + 1,
    }
    assert {request.length for request in found.values()} == {8}


def test_all_share_one_beginning() -> None:
    """The longest prompts', so that a warm cache has the shorter ones' blocks."""
    for request in boundary(PROMPTS, 16, 10_000).values():
        text = text_of(request)
        assert text == TEXT[: len(text)]


@pytest.mark.parametrize(("max_model_len", "left"), [(41, 6), (40, 5), (39, 4), (38, 3), (25, 3), (24, 2), (22, 0)])
def test_what_the_engine_cannot_take_is_left_out(max_model_len: int, left: int) -> None:
    """Prompt and forced decode together; the longest go first."""
    found = boundary(PROMPTS, 16, max_model_len)
    lengths = [len(text_of(request)) for request in found.values()]

    assert lengths == [23, 24, 25, 39, 40, 41][:left]


def test_long_texts() -> None:
    """More than 1,000 and more than 4,000 tokens before 200 that are forced."""
    found = long_texts(PROMPTS, 10_000)

    assert list(found) == ["long texts/1100 tokens", "long texts/4200 tokens"]
    for request, more_than in zip(found.values(), (1000, 4000), strict=True):
        assert len(request.prompt_ids) > more_than
        assert request.length == 200
        assert text_of(request) == TEXT[: len(request.prompt_ids) + 200]


@pytest.mark.parametrize(("max_model_len", "left"), [(4400, 2), (4399, 1), (1300, 1), (1299, 0)])
def test_long_texts_that_the_engine_can_take(max_model_len: int, left: int) -> None:
    """Prompt and forced decode together."""
    assert len(long_texts(PROMPTS, max_model_len)) == left
