"""The catalogue of variants: those of any platform, and vLLM-Ascend's."""

from npu_conformance.config.variants.ascend import ASCEND
from npu_conformance.config.variants.known import Bound, Known

SERVING = "serving"
"""The variant that `--serving` adds."""
CATALOGUE: dict[str, Known] = {
    "graph": Known(
        options={"enforce_eager": False},
        changes="compiled or captured graphs, in the platform's own mode",
        needs="graph",
    ),
    "prefix_caching": Known(
        options={"enable_prefix_caching": True},
        changes="prompts whose prefix is in the KV cache already",
        needs="cached_tokens",
    ),
    "chunked_prefill": Known(
        options={"enable_chunked_prefill": True, "max_num_batched_tokens": 128, "max_num_seqs": 16},
        changes="prompts in chunks of 128 tokens",
        needs="prefills_of_a_prompt",
    ),
    "async_scheduling": Known(
        options={"async_scheduling": True}, changes="the next step scheduled while the last one runs"
    ),
    "preemption": Known(
        options={"disable_log_stats": False},
        changes="a KV cache too small for the batch",
        needs="preemptions",
        tight_cache=True,
    ),
    "fresh_engine": Known(changes="nothing: another start of base", bitwise=True),
    "tp2": Known(options={"tensor_parallel_size": 2}, changes="sharded over two devices"),
    "tp4": Known(options={"tensor_parallel_size": 4}, changes="sharded over four devices"),
    "pp2": Known(
        options={"pipeline_parallel_size": 2},
        changes="layers in two stages",
        lacking={"cpu": "vLLM's model runner for the CPU has no tensors for the second stage (seen with 0.32.0)"},
    ),
    "ep": Known(
        options={"tensor_parallel_size": 2, "enable_expert_parallel": True},
        changes="experts distributed over two devices",
        needs="experts",
        # CPUUnquantizedExperts.apply reads no `expert_map`, and takes a token's experts for its rank's own.
        lacking={"cpu": "vLLM's experts for the CPU read beyond their rank's, and the engine dies (seen with 0.32.0)"},
        requires={"experts": "the model has no experts"},
    ),
    # entrypoints/llm.py of 0.18.0 to 0.32.0.
    "dp2": Known(
        options={"data_parallel_size": 2},
        changes="two replicas",
        lacking=dict.fromkeys(
            ("npu", "cuda", "cpu"),
            "vLLM says `LLM(data_parallel_size=2) is not supported for single-process usage and may hang`",
        ),
    ),
    "lora": Known(options={"enable_lora": True}, changes="LoRA kernels on, no adapter asked for", needs="lora_layers"),
    "spec_decode": Known(
        options={
            "speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4},
            "disable_log_stats": False,
        },
        changes="speculative decoding from n-grams of the prompt",
        needs="drafts",
        tokens_only=True,
        bounds=(
            # v1/worker/cpu_model_runner.py of 0.18.0 and 0.19.0; 0.20.0 has kernels for it.
            Bound(
                package="vllm",
                since="0.20.0",
                platform="cpu",
                reason="says `spec decode is not supported.` on a CPU",
            ),
            # v1/sample/rejection_sampler.py of 0.23.0 and 0.24.0; utils/cpu_triton_utils.py of 0.25.0 takes it.
            Bound(
                package="vllm",
                before="0.23.0",
                since="0.25.0",
                platform="cpu",
                reason="gives its kernel for the CPU `USE_FP64_GUMBEL`, which that does not know",
            ),
        ),
    ),
    SERVING: Known(changes="vLLM's server, asked over HTTP", tokens_only=True, served=True),
    "long_prompt": Known(changes="prompts of more than 1,000 and 4,000 tokens", long=True),
    **ASCEND,
}
"""Variants by name. A config may also bring its own: a mapping with `name`, and `options` or `envs`."""
