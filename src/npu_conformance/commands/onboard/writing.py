"""The lines of a new model config, each with why it is there."""

import re
from collections.abc import Iterator

from npu_conformance.checkpoints.headers import shown
from npu_conformance.commands.onboard.facts import Facts
from npu_conformance.config.notes import ON_NPU

# Longest texts of the suite, with their answers, fit into this.
_ROOM = 8192
_WIDTH = 36
# Classes whose attention has sinks, which torch's own does not know.
_EAGER = ("gpt_oss",)
# Labels as Qwen3Guard and Llama Guard write them, by what their templates say.
_GUARDS = {
    "Safety:": r"Safety: (?P<label>Safe|Unsafe|Controversial)\s+Categories: (?P<category>[^\n]+)",
    "unsafe content": r"(?P<label>safe|unsafe)(?:\s+(?P<category>S\d+))?",
}


def written(facts: Facts, twin: str | None) -> str:
    """A model config, with comments.

    Args:
        facts: of the model.
        twin: what its `twin` is to be; None for none.
    """
    lines = [
        "# yaml-language-server: $schema=schema.json",
        "# Written by `npu-conformance onboard` from the model's own files. Every key: docs/configuration.md.",
        *_subject(facts, twin),
        "",
        *_serve(facts),
        "",
        *_variants(facts),
        "",
        *_prompts(facts),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, why: str) -> str:
    return f"{text:<{_WIDTH}} # {why}"


def _subject(facts: Facts, twin: str | None) -> Iterator[str]:
    yield _line(f"model: {facts.model}", "organisation/name, as --models-root and the hubs' caches have it")
    if facts.adapter is not None:
        yield _line(f"adapter: {facts.adapter}", "the engine serves it, the reference adds it to its weights")
    if facts.scheme is not None:
        yield _line(f"scheme: {facts.scheme}", "ModelSlim; the reference is the unquantised original:")
        original = re.sub(r"[-_](w8a8|w4a8|int8|int4)\w*$", "", facts.model, flags=re.IGNORECASE)
        yield _line(f"reference: {{model: {original}}}", "a guess by the name: is it the original's?")
    elif facts.method is not None and facts.method not in ON_NPU:
        yield _line(
            f"convert: {facts.dtype}",
            f"vllm-ascend runs no {shown(facts.method)}: the engine loads converted weights, the reference these",
        )
    elif facts.method == "fp8":
        yield _line(f"convert: {facts.dtype}", "an Atlas A2 has no FP8 arithmetic; leave it out where there is")
    if facts.config["model_type"] in _EAGER:
        yield _line("reference: {attn_implementation: eager}", "transformers has no other attention for its class")
    if twin is not None:
        told = "a small stand-in, from the config.json in the folder beside" if twin == "derived" else "a stand-in"
        yield _line(f"twin: {twin}", f"{told}, for --twin")
    elif facts.no_twin is not None:
        yield f"# twin: none, for config.json {facts.no_twin}"
    yield "# hardware: Atlas 800 A2             # shown in the report"


def _serve(facts: Facts) -> Iterator[str]:
    yield "serve:"
    yield _line(f"  dtype: {facts.dtype}", "config.json's; limits go by it")
    told = "config.json names no length" if facts.longest is None else f"of {facts.longest} that config.json allows"
    yield _line(f"  max_model_len: {min(_ROOM, facts.longest or _ROOM)}", told)
    yield _line("  tensor_parallel_size: 1", "as many devices as you serve it on")
    if facts.method == "ascend":
        yield _line("  quantization: ascend", "vllm-ascend's name for ModelSlim")
    if "auto_map" in facts.config:
        yield "  # trust_remote_code: true           # it has code of its own; also needs --trust-remote-code"


def _variants(facts: Facts) -> Iterator[str]:
    yield "# Each changes one thing of base; docs/variants.md has all."
    yield "variants:"
    yield _line("  - graph", "ACL graph on an NPU")
    if facts.linear_attention:
        yield _line("  - chunked_prefill", "prompts in chunks")
        yield _line("  - long_prompt", "linear attention: faults of its state begin at a length")
        yield "  # - prefix_caching                  # whether it is there with linear attention depends on the release"
    else:
        yield _line("  - prefix_caching", "prompts whose prefix is in the KV cache")
        yield _line("  - chunked_prefill", "prompts in chunks")
        if facts.window is not None:
            yield _line("  - long_prompt", f"a layer sees {facts.window} positions: longer texts go beyond")
    yield _line("  - tp2", "two devices; skipped where there is one")
    if facts.experts:
        yield _line("  - ep", f"{facts.experts} experts distributed over two devices")
    yield "  # - serving                         # vLLM's own server, over HTTP"


def _prompts(facts: Facts) -> Iterator[str]:
    guard = next((pattern for sign, pattern in _GUARDS.items() if sign in (facts.template or "")), None)
    if not facts.tokenizer:
        yield "# No tokenizer is in the folder: real weights cannot be asked before tokenizer.json is there."
    if facts.generation.get("do_sample") or facts.generation.get("repetition_penalty", 1) != 1:
        yield "# generation_config.json asks for sampling: the suite asks greedily, and `serving` says what differs."
    yield "# A base or a guard model does not answer as the sets expect: give such a set `expect: false`."
    yield "# chat: false sends a set as plain text, without the chat template, so that both ways are judged."
    yield "prompts:"
    expect = ", expect: false" if guard is not None else ""
    if guard is not None:
        yield "  - guard"
    for name, plain in (("general", False), ("chinese", True), ("code", True), ("maths", True), ("long", False)):
        chat = ", chat: false" if plain or guard is not None else ""
        yield f"  - {{set: {name}{chat}{expect}}}" if chat or expect else f"  - {name}"
    if guard is not None:
        yield "labels:"
        yield f"  pattern: '{guard}'"
