"""What each twin is a stand-in for, and how it is made: trained, stored in another format, or adapted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Format = Literal["fp8", "gptq", "awq", "w4a16", "w8a8", "fp8-dynamic", "modelslim"]
"""Of quantised weights; `w4a16`, `w8a8` and `fp8-dynamic` are compressed-tensors'."""
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of a decoder, by the names of most models."""


@dataclass(frozen=True)
class Training:
    """How long and how fast a twin learns."""

    steps: int
    batch_tokens: int
    """Most tokens in one training batch, padding included."""
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Experts:
    """The experts of each layer of a mixture. No two sizes are equal, so that none can stand in another's place."""

    count: int
    per_token: int
    intermediate: int
    """Of a routed expert."""
    shared: int
    """Intermediate size of the expert that every token passes."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A small network that is trained from nothing."""

    twin_of: str
    """Hub id of the model it stands in for."""
    architecture: str
    """Its `model_type`."""
    chat: Literal["guard", "chatml"]
    """Form of its chat template."""
    sets: tuple[str, ...]
    """Prompt sets whose answers it learns."""
    known_sets: tuple[str, ...]
    """Prompt sets whose words its tokenizer knows besides, for adapters that learn them later."""
    training: Training
    tokenizer_class: str = "PreTrainedTokenizerFast"
    """Of a name that transformers 4.57 knows too."""
    vocabulary: int = 2400
    """Most tokens the tokenizer may have; the embedding has a row for each it got."""


@dataclass(frozen=True, kw_only=True)
class Trained(Taught):
    """One of its model's architecture class, with the sizes written here."""

    layers: int
    hidden: int
    intermediate: int
    query_heads: int
    kv_heads: int
    head_dim: int
    """As its model's: the fused attention of an NPU takes heads of 64, 128 and 192 only."""
    experts: Experts | None = None
    """In the place of each layer's MLP."""
    ternary_group: int | None = None
    """Its linear weights are trained to be ternary in groups of so many input channels."""
    max_positions: int = 32768


@dataclass(frozen=True, kw_only=True)
class Derived(Taught):
    """One whose sizes are those of a model's own config.json, made small."""

    config: str
    """Content of config.json."""
    special_tokens: tuple[str, ...]
    """Of the model's tokenizer, at the end of its vocabulary."""
    bos_token: str | None
    """What the model's tokenizer puts before a text; None where it puts nothing."""
    format: Format | None
    """Its weights are stored in; None: plain."""


@dataclass(frozen=True)
class Stored:
    """Another twin's weights, stored in a quantised format."""

    twin_of: str
    base: str
    """Recipe of the twin whose weights it stores."""
    format: Format


@dataclass(frozen=True)
class Adapted:
    """A LoRA trained on another twin, which it leaves as it is."""

    twin_of: str
    base: str
    """Recipe of the twin it adapts."""
    sets: tuple[str, ...]
    """Prompt sets whose answers it learns."""
    kept_sets: tuple[str, ...]
    """Prompt sets of its base that it must not forget."""
    rank: int
    alpha: int
    training: Training
    targets: tuple[str, ...] = LINEAR
    """Linear layers that it is put on, by name."""


Recipe = Trained | Derived | Stored | Adapted

PLAIN_SETS = ("general", "chinese", "code", "maths", "long")

_GUARD = Trained(
    twin_of="Qwen/Qwen3Guard-Gen-4B",
    architecture="qwen3",
    chat="guard",
    sets=(*PLAIN_SETS, "guard"),
    known_sets=(),
    layers=4,
    hidden=256,
    intermediate=768,
    query_heads=4,
    kv_heads=2,
    head_dim=128,
    training=Training(steps=600, batch_tokens=512, learning_rate=1e-3, seed=20),
)

RECIPES: Mapping[str, Recipe] = {
    "qwen3-guard": _GUARD,
    # It has learned too little to be sure of its words: ties occur, as they do in real models.
    "qwen3-unsure": replace(_GUARD, training=replace(_GUARD.training, steps=100)),
    "qwen3-fp8": Stored(twin_of="Qwen/Qwen3-4B-FP8", base="qwen3-guard", format="fp8"),
    "qwen3-gptq-int8": Stored(twin_of="Qwen/Qwen3-1.7B-GPTQ-Int8", base="qwen3-guard", format="gptq"),
    "qwen3-awq": Stored(twin_of="Qwen/Qwen3-4B-AWQ", base="qwen3-guard", format="awq"),
    "qwen3-w4a16": Stored(twin_of="RedHatAI/Qwen3-4B-quantized.w4a16", base="qwen3-guard", format="w4a16"),
    "qwen3-w8a8": Stored(twin_of="vLLM-Kunlun/Qwen3-4B-Int8-Dynamic", base="qwen3-guard", format="w8a8"),
    "qwen3-modelslim": Stored(twin_of="vllm-ascend/Qwen3-8B-W8A8", base="qwen3-guard", format="modelslim"),
    "qwen3-fp8-dynamic": Stored(twin_of="RedHatAI/Qwen3-4B-FP8-dynamic", base="qwen3-guard", format="fp8-dynamic"),
    "qwen3.5": Trained(
        twin_of="Qwen/Qwen3.5-4B",
        architecture="qwen3_5",
        chat="chatml",
        sets=PLAIN_SETS,
        known_sets=("condense",),
        layers=4,
        hidden=256,
        intermediate=512,
        query_heads=4,
        kv_heads=2,
        head_dim=128,
        training=Training(steps=300, batch_tokens=768, learning_rate=1.5e-3, seed=35),
        # As the model's own: under transformers 4.57 the processor that belongs to it takes no other.
        tokenizer_class="Qwen2Tokenizer",
    ),
    "qwen3.5-condenser": Adapted(
        twin_of="twinkle-kit/Qwen3.5-4B-Condenser",
        base="qwen3.5",
        sets=("condense",),
        kept_sets=PLAIN_SETS,
        rank=16,
        alpha=32,
        # Learnt more slowly, bfloat16 itself is beyond the limits at single positions, in transformers too.
        training=Training(steps=200, batch_tokens=768, learning_rate=1e-2, seed=16),
    ),
    "bitcpm4": Trained(
        twin_of="openbmb/BitCPM4-CANN-1B",
        architecture="llama",
        chat="chatml",
        sets=PLAIN_SETS,
        known_sets=(),
        layers=4,
        hidden=256,
        intermediate=768,
        query_heads=4,
        kv_heads=2,
        head_dim=128,
        training=Training(steps=400, batch_tokens=512, learning_rate=2e-3, seed=4),
        ternary_group=128,
    ),
    "qwen2-moe": Trained(
        twin_of="Qwen/Qwen1.5-MoE-A2.7B-Chat",
        architecture="qwen2_moe",
        chat="chatml",
        sets=PLAIN_SETS,
        known_sets=(),
        layers=4,
        hidden=256,
        intermediate=640,
        query_heads=4,
        kv_heads=2,
        # As the class has it: hidden over heads.
        head_dim=64,
        training=Training(steps=400, batch_tokens=512, learning_rate=1.5e-3, seed=27),
        experts=Experts(count=12, per_token=3, intermediate=192, shared=320),
    ),
}
