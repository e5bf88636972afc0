"""The kinds of faults by name, with the strengths they are tried at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from npu_conformance.errors import ConfigError
from npu_conformance.faults import kinds, weights
from npu_conformance.faults.live import Inject
from npu_conformance.faults.weights import Alter
from npu_conformance.yamlfile import did_you_mean


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
    CLEAN: Kind(kinds.nothing, (1.0, 2.0)),
    "rotary_theta": Kind(kinds.rotary_theta, (1.01, 1.03, 1.1, 1.5), 1.1),
    "query_positions": Kind(kinds.query_positions),
    "attention_scale": Kind(kinds.attention_scale, (1.003, 1.01, 1.03, 1.1), 1.1),
    "attention_softcap": Kind(kinds.attention_softcap, (100.0, 20.0, 10.0, 5.0), 10.0),
    "attention_window": Kind(kinds.attention_window, (64.0, 32.0, 16.0, 8.0), 32.0),
    "heads_mapped_wrongly": Kind(kinds.heads_mapped_wrongly),
    "head_lost": Kind(kinds.head_lost),
    "cache_bits": Kind(kinds.cache_bits, (10.0, 8.0, 6.0, 4.0), 6.0),
    "cache_slot_lost": Kind(kinds.cache_slot_lost),
    "cache_stale": Kind(kinds.cache_stale),
    "norm_lost": Kind(kinds.norm_lost),
    "norms_exchanged": Kind(kinds.norms_exchanged),
    "norm_epsilon": Kind(kinds.norm_epsilon, (1e-5, 1e-4, 1e-3, 1e-2), 1e-2),
    "layer_skipped": Kind(kinds.layer_skipped),
    "layers_exchanged": Kind(kinds.layers_exchanged),
    "layer_scaled": Kind(kinds.layer_scaled, (1.003, 1.01, 1.03, 1.1), 1.1),
    "noise": Kind(kinds.noise, (0.0003, 0.001, 0.003, 0.01), 0.001, repeated=True),
    "clipping": Kind(kinds.clipping, (6.0, 4.0, 3.0, 2.0), 2.0),
    "activation": Kind(kinds.activation),
    "embedding_scale": Kind(kinds.embedding_scale, (1.003, 1.01, 1.03, 1.1), 1.03),
    "shard_scaled": Kind(kinds.shard_scaled, (1.01, 1.03, 1.1, 1.3), 1.3),
    "first_token": Kind(kinds.first_token),
    "tokens_exchanged": Kind(kinds.tokens_exchanged, (300.0, 100.0, 30.0, 10.0), 30.0),
    "decode_only": Kind(kinds.decode_only, (1.003, 1.01, 1.03, 1.1), 1.1),
    "first_step_only": Kind(kinds.first_step_only, (1.01, 1.03, 1.1, 1.3), 1.3),
    "prefill_only": Kind(kinds.prefill_only, (1.003, 1.01, 1.03, 1.1), 1.1),
    "one_step": Kind(kinds.one_step, (1.03, 1.06, 1.1, 1.3), 1.3),
    "later_steps": Kind(kinds.later_steps, (1.03, 1.05, 1.1, 1.3), 1.3),
    "rows_mixed": Kind(kinds.rows_mixed, (0.01, 0.03, 0.1, 0.3), 0.3),
    "head_bits": Kind(kinds.head_bits, (10.0, 8.0, 6.0, 4.0), 6.0),
    "head_shard": Kind(kinds.head_shard, (1.003, 1.01, 1.03, 1.1), 1.03),
    "head_word": Kind(kinds.head_word, (0.01, 0.03, 0.1, 0.3), 0.1),
    "one_logit": Kind(kinds.one_logit, (0.01, 0.03, 0.1, 0.3), 0.3),
    "close_calls": Kind(kinds.close_calls, (0.01, 0.03, 0.07, 0.1), 0.1),
    "logits_scaled": Kind(kinds.logits_scaled, (1.003, 1.01, 1.03, 1.1), 1.01),
    "logits_softcap": Kind(kinds.logits_softcap, (1000.0, 300.0, 100.0, 50.0), 50.0),
    "weight_bits": Kind(weights.weight_bits, (10.0, 8.0, 6.0, 4.0), 6.0, loads="all layers"),
    "weight_fp8": Kind(weights.weight_fp8, loads="all layers"),
    "layer_weight_bits": Kind(weights.layer_weight_bits, (8.0, 6.0, 4.0), 4.0, loads="one layer"),
    "layer_weight_fp8": Kind(weights.layer_weight_fp8, loads="one layer"),
    "lora_scale": Kind(kinds.lora_scale, (1.003, 1.01, 1.03, 1.1), 1.1, needs="lora"),
    "state_decay": Kind(kinds.state_decay, (1.01, 1.03, 1.1, 1.3), 1.3, needs="linear attention"),
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
