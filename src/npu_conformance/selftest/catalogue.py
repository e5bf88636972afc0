"""The kinds of faults by name, with the strengths they are tried at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.errors import ConfigError
from npu_conformance.selftest import weights
from npu_conformance.selftest.kinds import attention, experts, head, layers, requests
from npu_conformance.selftest.live import Inject, Live
from npu_conformance.selftest.weights import Alter


def nothing(live: Live, _: float) -> None:
    """No fault: what is flagged here is a false alarm."""


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong."""

    change: Inject | Alter
    """Of the running model, or of weights while they are loaded."""
    strengths: tuple[float, ...] = (1.0,)
    """From weak to strong; one for a kind that is or is not."""
    documented: float = 1.0
    """The weakest at which it is always caught, fixed on the development twins that have its part."""
    loads: Literal["all layers", "one layer"] | None = None
    """Where it is one of weights: whose."""
    repeated: bool = False
    """Whether it takes a second run to see it."""
    needs: str | None = None
    """The part of a model it is in, where not all have it."""

    @property
    def about(self) -> str:
        """What is wrong, in words."""
        return (self.change.__doc__ or "").strip()


CLEAN = "nothing"
"""The kind that is none."""
KINDS: dict[str, Kind] = {
    CLEAN: Kind(nothing, (1.0, 2.0)),
    "rotary_theta": Kind(attention.rotary_theta, (1.01, 1.03, 1.1, 1.5), 1.1),
    "query_positions": Kind(attention.query_positions),
    "attention_scale": Kind(attention.attention_scale, (1.003, 1.01, 1.03, 1.1), 1.01),
    "attention_softcap": Kind(attention.attention_softcap, (100.0, 20.0, 10.0, 5.0), 20.0),
    "attention_window": Kind(attention.attention_window, (64.0, 32.0, 16.0, 8.0), 64.0),
    "heads_mapped_wrongly": Kind(attention.heads_mapped_wrongly),
    "head_lost": Kind(attention.head_lost),
    "head_scaled": Kind(attention.head_scaled, (1.02, 1.05, 1.1, 1.3), 1.02),
    "layer_value_bits": Kind(attention.layer_value_bits, (10.0, 8.0, 6.0, 4.0), 8.0),
    "layer_key_bits": Kind(attention.layer_key_bits, (10.0, 8.0, 6.0, 4.0), 6.0),
    "cache_bits": Kind(attention.cache_bits, (10.0, 8.0, 6.0, 4.0), 8.0),
    "cache_slot_lost": Kind(attention.cache_slot_lost),
    "cache_stale": Kind(attention.cache_stale),
    "norm_lost": Kind(layers.norm_lost),
    "norms_exchanged": Kind(layers.norms_exchanged),
    "norm_epsilon": Kind(layers.norm_epsilon, (1e-5, 1e-4, 1e-3, 1e-2), 1e-3),
    "layer_skipped": Kind(layers.layer_skipped),
    "layers_exchanged": Kind(layers.layers_exchanged),
    "layer_scaled": Kind(layers.layer_scaled, (1.003, 1.01, 1.03, 1.1), 1.1),
    "noise": Kind(layers.noise, (0.0003, 0.001, 0.003, 0.01), 0.0003, repeated=True),
    "clipping": Kind(layers.clipping, (6.0, 4.0, 3.0, 2.0), 2.0),
    "activation": Kind(layers.activation),
    "embedding_scale": Kind(layers.embedding_scale, (1.003, 1.01, 1.03, 1.1), 1.01),
    "shard_scaled": Kind(layers.shard_scaled, (1.01, 1.03, 1.1, 1.3), 1.01),
    "first_token": Kind(requests.first_token),
    "tokens_exchanged": Kind(requests.tokens_exchanged, (300.0, 100.0, 30.0, 10.0), 300.0),
    "decode_only": Kind(requests.decode_only, (1.003, 1.01, 1.03, 1.1), 1.1),
    "first_step_only": Kind(requests.first_step_only, (1.01, 1.03, 1.1, 1.3), 1.3),
    "prefill_only": Kind(requests.prefill_only, (1.003, 1.01, 1.03, 1.1), 1.1),
    "one_step": Kind(requests.one_step, (1.03, 1.06, 1.1, 1.3), 1.3),
    "later_steps": Kind(requests.later_steps, (1.03, 1.05, 1.1, 1.3), 1.05),
    "rows_mixed": Kind(requests.rows_mixed, (0.01, 0.03, 0.1, 0.3), 0.1),
    "head_bits": Kind(head.head_bits, (10.0, 8.0, 6.0, 4.0), 6.0),
    "head_shard": Kind(head.head_shard, (1.003, 1.01, 1.03, 1.1), 1.01),
    "head_word": Kind(head.head_word, (0.01, 0.03, 0.1, 0.3), 0.1),
    "one_logit": Kind(head.one_logit, (0.01, 0.03, 0.1, 0.3), 0.3),
    "close_calls": Kind(head.close_calls, (0.01, 0.03, 0.07, 0.1), 0.03),
    "logits_scaled": Kind(head.logits_scaled, (1.003, 1.01, 1.03, 1.1), 1.003),
    "logits_softcap": Kind(head.logits_softcap, (1000.0, 300.0, 100.0, 50.0), 50.0),
    "weight_bits": Kind(weights.weight_bits, (10.0, 8.0, 6.0, 4.0), 8.0, loads="all layers"),
    "weight_fp8": Kind(weights.weight_fp8, loads="all layers"),
    "layer_weight_bits": Kind(weights.layer_weight_bits, (8.0, 6.0, 4.0), 8.0, loads="one layer"),
    "layer_weight_fp8": Kind(weights.layer_weight_fp8, loads="one layer"),
    "lora_scale": Kind(layers.lora_scale, (1.003, 1.01, 1.03, 1.1), 1.01, needs="lora"),
    "state_decay": Kind(layers.state_decay, (1.01, 1.03, 1.1, 1.3), 1.03, needs="linear attention"),
    "experts_exchanged": Kind(experts.experts_exchanged, needs="experts"),
    "expert_scale": Kind(experts.expert_scale, (1.03, 1.1, 1.3, 2.0), 2.0, needs="experts"),
    "expert_left_out": Kind(experts.expert_left_out, needs="experts"),
    "expert_capacity": Kind(experts.expert_capacity, (2.0, 1.5, 1.25, 1.0), 2.0, needs="experts"),
    "expert_weights_normalised": Kind(experts.expert_weights_normalised, needs="experts"),
    "router_bits": Kind(experts.router_bits, (10.0, 8.0, 6.0, 4.0), 6.0, needs="experts"),
    "shared_expert_lost": Kind(experts.shared_expert_lost, needs="experts"),
}


def known(names: Sequence[str]) -> tuple[str, ...]:
    """The kinds of these names; all faults where none is given.

    Raises:
        ConfigError: there is no such kind.
    """
    faults = tuple(name for name in KINDS if name != CLEAN)
    for name in names:
        if name not in faults:
            raise ConfigError(f"no kind of fault {name!r}{did_you_mean(name, faults)} (kinds: {', '.join(faults)})")
    return tuple(names) or faults
