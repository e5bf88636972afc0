"""What a server said, damaged one way at a time: the check of that name fails, and no other."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.traces.serving import Defaults, Said, Served, Times
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.served_records import LORA, MODEL, Change, judged, serving

OF_SERVERS = {name for name, check in CHECKS.items() if {"served", "served_adapter"} & set(check.requires)}


def changed(part: str, index: int, **changes: Any) -> Change:
    """One of several of a part of the record, changed."""

    def change(served: Served) -> Served:
        found = list(getattr(served, part))
        found[index] = found[index].model_copy(update=changes)
        return served.model_copy(update={part: tuple(found)})

    return change


def said(part: str, index: int, **changes: Any) -> Change:
    """The same of an answer inside."""

    def change(served: Served) -> Served:
        whole = getattr(served, part)[index]
        name = "said" if hasattr(whole, "said") else "parts"
        return changed(part, index, **{name: getattr(whole, name).model_copy(update=changes)})(served)

    return change


def other_tokens(tokens: Sequence[int]) -> tuple[int, ...]:
    """Far from the engine's choice, in the middle."""
    return (*tokens[:50], 1 + tokens[50] % 19, *tokens[51:])


def flipped(label: str) -> Callable[[Said], dict[str, Any]]:
    """An answer with other tokens and this label."""
    return lambda one: {"token_ids": other_tokens(one.token_ids or ()), "text": f"Safety: {label} word"}


def crowd(part: str, change: Callable[[Said], dict[str, Any]]) -> Change:
    """One of the answers to a request among many."""

    def changing(served: Served) -> Served:
        (first, *rest) = getattr(served, part)
        other = Times(said=first.said.model_copy(update=change(first.said)), times=1)
        return served.model_copy(update={part: (first, other, *rest)})

    return changing


def swapped(served: Served) -> Served:
    """Both names answer, each as the other."""
    names = {LORA: MODEL, MODEL: LORA}
    firsts = tuple(one.model_copy(update={"name": names[one.name]}) for one in served.firsts)
    return served.model_copy(update={"firsts": firsts})


def by_base(served: Served) -> Served:
    """The LoRA's requests are answered by the model without it."""
    bare = {one.prompt: one for one in served.firsts if one.name == MODEL}
    firsts = tuple(bare[one.prompt].model_copy(update={"name": one.name}) for one in served.firsts)
    return served.model_copy(update={"firsts": firsts})


def defaults(**changes: Any) -> Change:
    """What requests take that name nothing."""

    def change(served: Served) -> Served:
        told: dict[str, Any] = {"declared": changes}
        if "answers" in changes:
            one = served.answers[0]
            other = one.model_copy(update={"token_ids": other_tokens(one.token_ids or ())})
            told = {"declared": {}, "said": (other, *served.answers[1:])}
        return served.model_copy(update={"defaults": Defaults(**{**dict(served.defaults), **told})})

    return change


FAULTS: dict[str, tuple[Change, str, str]] = {
    "a name is lost": (changed("listed", 1, id="other"), "served_models", "served_names"),
    "a LoRA of another model": (changed("listed", 1, parent="other"), "served_models", "served_names"),
    "an answer of another model": (changed("answers", 1, model=MODEL), "served_models", "answered_names"),
    "a second BOS of a text": (changed("read", 0, found=(1, 1, 2, 3)), "served_prompts", "served_text_ids"),
    "a second BOS in the chat": (changed("read", 1, found=(1, 1, 2, 3)), "served_prompts", "served_chat_ids"),
    "another template": (changed("read", 3, found=(1, 2, 9)), "served_prompts", "served_chat_ids"),
    "another count of tokens": (changed("read", 2, found=None, count=4), "served_prompts", "served_text_ids"),
    "a penalty in generation_config": (defaults(repetition_penalty=1.05), "served_defaults", "greedy_settings"),
    "other answers by default": (defaults(answers=True), "served_defaults", "default_answers"),
    "another answer in the chat": (changed("chat", 0, token_ids=(9, 9)), "served_chat", "chat_tokens"),
    "another text in the chat": (changed("chat", 0, text="Safety"), "served_chat", "chat_texts"),
    "a stream without its end": (changed("streams", 0, ended=False), "served_streams", "whole_streams"),
    "a stream without a token": (said("streams", 0, token_ids=(3, 4)), "served_streams", "whole_streams"),
    "a stream without a word": (said("streams", 1, text="Safety: word"), "served_streams", "whole_streams"),
    "a stream without a reason": (said("streams", 1, finish_reason=None), "served_streams", "whole_streams"),
    "text after a stop string": (said("stops", 0, text="It is Safe"), "served_ends", "stopped_answers"),
    "another reason at a stop string": (said("stops", 0, finish_reason="length"), "served_ends", "stopped_answers"),
    "a token too many": (said("cuts", 0, token_ids=tuple(range(9))), "served_ends", "cut_answers"),
    "another reason at max_tokens": (said("cuts", 0, finish_reason="stop"), "served_ends", "cut_answers"),
    "other tokens before max_tokens": (said("cuts", 0, token_ids=(0,) * 8), "served_ends", "cut_answers"),
    "a wrong count": (changed("answers", 0, total_tokens=7), "served_counts", "usage_counts"),
    "a log-probability less": (changed("answers", 0, log_probs=199), "served_counts", "served_log_probs"),
    "a log-probability that is none": (changed("answers", 0, wrong_log_probs=1), "served_counts", "served_log_probs"),
    "the names exchanged": (swapped, "served_adapter", "adapter_names"),
    "the LoRA answered by its base": (by_base, "served_adapter", "adapter_names"),
    "a request among others": (crowd("crowd", flipped("Safe")), "concurrent_answers", "concurrent_answers"),
    "a repeated request": (crowd("repeated", flipped("Safe")), "concurrent_answers", "repeated_answers"),
    "another text of the same tokens": (
        crowd("crowd", lambda one: {"text": f"{one.text} more"}),
        "concurrent_answers",
        "concurrent_answers",
    ),
    "another label of the same tokens": (
        crowd("crowd", lambda _: {"text": "Safety: Unsafe word"}),
        "concurrent_labels",
        "concurrent_labels",
    ),
    "a label among others": (crowd("crowd", flipped("Unsafe")), "concurrent_labels", "concurrent_labels"),
    "a status 500": (changed("refused", 0, status=500), "served_errors", "refused_requests"),
    "a status 200": (changed("refused", 0, status=200), "served_errors", "refused_requests"),
    "a connection broken": (changed("refused", 0, status=None), "served_errors", "refused_requests"),
    "an error as a page": (changed("refused", 0, as_error=False), "served_errors", "refused_requests"),
    "no answer afterwards": (changed("refused", 0, after=None), "served_errors", "answers_afterwards"),
}


def test_a_clean_server_passes_all_that_is_asked_of_one(scene: Scene) -> None:
    """And the checks of tokens and texts of any variant."""
    found = judged(serving(scene))

    assert set(found) > OF_SERVERS
    assert {"variant_closeness", "labels", "prompt_tokens"} <= set(found)
    assert {name: failing for name, failing in found.items() if failing} == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_check_of_its_name_alone(scene: Scene, fault: str) -> None:
    """But that a label is also a part of its answer, and both names alike are both wrong."""
    change, check, metric = FAULTS[fault]
    found = {name: failing for name, failing in judged(serving(scene, change)).items() if failing}

    assert metric in found.pop(check)
    assert set(found) <= ({"concurrent_answers"} if check == "concurrent_labels" else set())


def test_a_client_that_went_away_and_holds_its_request(scene: Scene) -> None:
    """Where the server tells what it computes; else nothing is said of it."""
    for running, expected in ((1, {"freed_requests"}), (None, set())):

        def change(served: Served, running: int | None = running) -> Served:
            assert served.hung_up is not None
            return served.model_copy(update={"hung_up": served.hung_up.model_copy(update={"running": running})})

        assert judged(serving(scene, change))["served_errors"] == expected


def test_what_is_served_besides_greedy_answers_is_told(scene: Scene) -> None:
    """And judged by nobody."""
    evidence = serving(scene, defaults(temperature=0.7, top_p=0.8))
    results = CHECKS["served_defaults"].judge(evidence)

    assert {one.verdict for one in results} == {"pass"}
    assert all("temperature 0.7, top_p 0.8" in (one.message or "") for one in results)


def test_both_names_alike_are_told(scene: Scene) -> None:
    """Though nothing of base's says which of them is right."""
    results = {one.metric: one for one in CHECKS["served_adapter"].judge(serving(scene, by_base))}

    assert results["different_names"].observed == 0
    assert "answers as the model without the LoRA does offline" in (results["adapter_names"].where or "")


@pytest.mark.parametrize("changes", [{"log_probs": {99: -1.0}}, {"log_probs": {}}, {"name": "third"}])
def test_first_positions_that_cannot_be_compared_are_an_error(scene: Scene, changes: dict[str, Any]) -> None:
    """Words that the model has not, none, or another name's."""
    found = CHECKS["served_adapter"].judge(serving(scene, changed("firsts", 1, **changes)))

    assert [one.verdict for one in found] == ["error"]


def test_a_tie_of_base_explains_another_token_and_its_label(scene: Scene) -> None:
    """From there on nothing is compared; the message counts them."""

    def almost(rows: Any) -> Any:
        best = rows[50].argmax()
        rows[50, 1 + best % 19] = rows[50, best] - 1e-4
        return rows

    scene.edit_logits("candidate", 0, almost)
    best = int(scene.evidence().candidate.logits(0)[50].argmax())

    def tied(one: Said) -> dict[str, Any]:
        tokens = one.token_ids or ()
        return {"token_ids": (*tokens[:50], 1 + best % 19, 7, 7), "text": "Safety: Unsafe word"}

    evidence = serving(scene, crowd("crowd", tied))
    labels, answers = (CHECKS[name].judge(evidence)[0] for name in ("concurrent_labels", "concurrent_answers"))

    assert (labels.verdict, labels.message) == ("pass", "1 labels differ at a tie")
    assert (answers.verdict, answers.message) == ("pass", "1 part from the answer alone at a tie")


def test_a_record_of_other_prompts_is_an_error(scene: Scene) -> None:
    """Nothing passes where it does not belong to the trace; nor where it is missing."""
    for change in (
        lambda served: served.model_copy(update={"answers": served.answers[1:]}),
        changed("chat", 0, prompt="another"),
        changed("refused", 0, after=Said(prompt="another", text="")),
    ):
        evidence = serving(scene, change)
        assert {CHECKS[name].judge(evidence)[0].verdict for name in OF_SERVERS} == {"error"}
    evidence = serving(scene)
    (evidence.candidate.folder / "serving.json").unlink()
    assert {CHECKS[name].judge(evidence)[0].verdict for name in OF_SERVERS} == {"error"}


def test_nothing_passes_for_lack_of_answers(scene: Scene) -> None:
    """A record in which the server was asked nothing of a kind."""
    empty = dict.fromkeys(("read", "streams", "crowd", "repeated", "refused", "firsts"), ())
    told = {**empty, "hung_up": None, "defaults": Defaults(declared={}, said=())}
    found = judged(serving(scene, lambda served: served.model_copy(update=told)))

    assert {"served_prompts", "served_defaults", "served_streams", "served_errors"} <= {
        name for name, failing in found.items() if failing
    }
    assert found["concurrent_answers"] == {"concurrent_answers", "repeated_answers"}
    assert found["served_adapter"] == {"served_adapter"}
