"""The catalogue's switches of vLLM-Ascend.

Names, values and conditions are of the wheels 0.18.0, 0.23.0 and 0.26.0rc1 (envs.py, ascend_config.py, platform.py,
utils.py, ops/linear_op.py); none of them was run here. Where a release takes a switch as a variable and another as an
option, a row sets both: each release reads the one that it has, and those that have both let the option win.
"""

from typing import Any

from npu_conformance.config.variants.known import Bound, Known, Requirement, Sign

_DECODE_GRAPH: dict[str, Any] = {
    "enforce_eager": False,
    "compilation_config": {"cudagraph_mode": "FULL_DECODE_ONLY"},
}
_SHARDED: dict[Requirement, str] = {
    "sharded": "acts between ranks only, and the model is served on one: set serve.tensor_parallel_size",
}
_EXPERTS: dict[Requirement, str] = {
    "experts": "acts on experts only, and the model has none",
    "expert_parallel": "acts with expert parallelism only: set enable_expert_parallel under serve.engine_args",
}


def _gone(since: str, what: str) -> Bound:
    return Bound(package="vllm-ascend", before=since, reason=f"has {what} no more")


def _switch(
    changes: str,
    *,
    env: str | None = None,
    requires: dict[Requirement, str] | None = None,
    needs: Sign | None = None,
    bounds: tuple[Bound, ...] = (),
    silent: bool = False,
    **additional: Any,
) -> Known:
    """A switch of `additional_config`; `env` is its variable with its value, `NAME=1`."""
    name, _, value = (env or "").partition("=")
    return Known(
        options={"additional_config": additional},
        envs={name: value} if name else {},
        changes=changes,
        platform="npu",
        needs=needs,
        bounds=bounds,
        requires=requires or {},
        silent=silent,
    )


def _in_graph(changes: str, *, bounds: tuple[Bound, ...] = (), sharded: bool = False, **compilation: Any) -> Known:
    """A switch of vLLM-Ascend's compiler, which only graphs go through."""
    return Known(
        options=_DECODE_GRAPH | {"additional_config": {"ascend_compilation_config": compilation}},
        changes=changes,
        platform="npu",
        needs="graph",
        bounds=bounds,
        requires=_SHARDED if sharded else {},
    )


def _graph(mode: str) -> Known:
    return Known(
        options={"enforce_eager": False, "compilation_config": {"cudagraph_mode": mode}},
        changes=f"graphs captured in mode {mode}",
        platform="npu",
        needs="graph",
    )


_GRAPHS = {
    "graph_piecewise": _graph("PIECEWISE"),
    "graph_full": _graph("FULL"),
    "graph_full_decode_only": _graph("FULL_DECODE_ONLY"),
    "npugraph_ex_off": _in_graph("graphs without npugraph_ex", enable_npugraph_ex=False),
    "static_kernel": _in_graph("graphs with kernels compiled for their shapes", enable_static_kernel=True),
    "fusions_off": _in_graph(
        "graphs without fused operators", fuse_norm_quant=False, fuse_qknorm_rope=False, fuse_muls_add=False
    ),
    "fuse_allreduce_rms": _in_graph(
        "graphs with all-reduce and RMSNorm fused",
        bounds=(_gone("0.26.0", "this fusion"),),
        sharded=True,
        fuse_allreduce_rms=True,
    ),
    "sequence_parallel": Known(
        options={"enforce_eager": False, "compilation_config": {"pass_config": {"enable_sp": True}}},
        changes="graphs with sequence parallelism between the all-reduces",
        platform="npu",
        needs="graph",
        # vLLM's config/compilation.py has it up to 0.31.0.
        bounds=(Bound(package="vllm", before="0.32.0", reason="has no pass_config.enable_sp"),),
        requires=_SHARDED,
    ),
    # xlite/xlite.py: the architectures that all three releases have.
    "xlite_graph": Known(
        options={"enforce_eager": False, "additional_config": {"xlite_graph_config": {"enabled": True}}},
        changes="decode as one graph of openEuler's xlite",
        platform="npu",
        needs="xlite_worker",
        requires={"xlite": "xlite has no model of this architecture"},
    ),
}
_LAYOUT = {
    # utils.py, _should_trans_nz: mode 1, the default, lays out quantised weights; mode 2 those in bfloat16 besides.
    "weight_nz_off": _switch(
        "weights in plain layout",
        env="VLLM_ASCEND_ENABLE_NZ=0",
        weight_nz_mode=0,
        requires={"quantised": "lays out quantised weights only by default, and these are plain: it would be base"},
    ),
    "weight_nz_all": _switch(
        "all weights in NZ layout",
        env="VLLM_ASCEND_ENABLE_NZ=2",
        weight_nz_mode=2,
        needs="plain_weights_in_nz",
    ),
    "kv_nz": Known(
        options={"additional_config": {"enable_kv_nz": True}},
        changes="the KV cache in NZ layout",
        platform="npu",
        lacking={"npu": "vLLM-Ascend has enable_kv_nz for MLA on the decode node of a disaggregated deployment only"},
    ),
}
_BETWEEN_RANKS = {
    "flashcomm1": _switch(
        "activations split over ranks between layers",
        env="VLLM_ASCEND_ENABLE_FLASHCOMM1=1",
        enable_flashcomm1=True,
        needs="flashcomm1_layers",
        requires=_SHARDED | {"expert_parallel": _EXPERTS["expert_parallel"]},
    ),
    "flashcomm2": _switch(
        "attention's output projection on one rank a token",
        env="VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE=1",
        enable_flashcomm2_parallel_size=1,
        needs="flashcomm2_layers",
        bounds=(_gone("0.26.0", "FlashComm2"),),
        requires=_SHARDED,
    ),
    # MatmulAllreduceRowParallelOp multiplies layer.weight as it is stored.
    "matmul_allreduce": _switch(
        "matmul and all-reduce in one operator",
        env="VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE=1",
        enable_matmul_allreduce=True,
        needs="matmul_allreduce_layers",
        bounds=(_gone("0.26.0", "this operator"),),
        requires=_SHARDED | {"plain": "multiplies weights as they are stored, and these are quantised"},
    ),
    "pcp2": Known(
        options={"prefill_context_parallel_size": 2},
        envs={"VLLM_ASCEND_ENABLE_CONTEXT_PARALLEL": "1"},
        changes="prompts split over two devices",
        platform="npu",
        bounds=(
            Bound(
                package="vllm-ascend",
                before="0.26.0",
                reason="says `PCP (Prefill Context Parallelism) is not supported by vLLM Ascend.`",
            ),
        ),
    ),
    "dcp2": Known(
        options={"decode_context_parallel_size": 2},
        changes="the KV cache of a text split over two devices",
        platform="npu",
        requires={"spare_ranks": "vLLM wants two ranks a KV head for it: set serve.tensor_parallel_size higher"},
    ),
}
# Which kernels these bring in depends on the device and on the tokens of a step, and no release says what ran.
_WITH_EXPERTS = {
    "fused_mc2": _switch(
        "experts' dispatch, matmuls and combine in one operator (A3)",
        env="VLLM_ASCEND_ENABLE_FUSED_MC2=1",
        enable_fused_mc2=1,
        requires=_EXPERTS | {"quantised": "acts on experts in W8A8, and these weights are plain"},
        silent=True,
    ),
    "prefill_mc2": _switch(
        "MC2 for experts' dispatch in prefill too",
        enable_prefill_mc2=True,
        requires=_EXPERTS,
        bounds=(Bound(package="vllm-ascend", since="0.23.0", reason="has no enable_prefill_mc2"),),
        silent=True,
    ),
    "gmmswigluquant_off": _switch(
        "experts without the fused matmul, SwiGLU and quantisation",
        ascend_fusion_config={"fusion_ops_gmmswigluquant": False},
        requires={
            "experts": _EXPERTS["experts"],
            "quantised": "acts on experts in W8A8, and these weights are plain",
        },
    ),
    "multistream_shared_expert": _switch(
        "shared experts on a stream of their own",
        multistream_overlap_shared_expert=True,
        requires={"experts": _EXPERTS["experts"]},
    ),
}
_OTHER = {
    # attention/mla_v1.py, enabling_mlapo, and sfa_v1.py; on by default.
    "mlapo_off": _switch(
        "MLA's preprocessing in several operators",
        env="VLLM_ASCEND_ENABLE_MLAPO=0",
        enable_mlapo=False,
        requires={
            "sparse_attention": "acts on MLA with sparse attention (index_topk), or else on the decode node of a "
            "disaggregated deployment only",
            "quantised": "acts on W8A8 only, and these weights are plain",
        },
        silent=True,
    ),
    "batch_invariant": Known(
        envs={"VLLM_BATCH_INVARIANT": "1"},
        changes="batch-invariant matmul, softmax and attention",
        platform="npu",
        needs="batch_invariant_operators",
    ),
    # FAQ 15 of vllm-ascend's documentation.
    "deterministic": Known(
        envs={
            "LCCL_DETERMINISTIC": "1",
            "HCCL_DETERMINISTIC": "true",
            "ATB_MATMUL_SHUFFLE_K_ENABLE": "0",
            "ATB_LLM_LCOC_ENABLE": "0",
        },
        changes="vLLM-Ascend's recipe for runs that can be repeated",
        platform="npu",
    ),
}
ASCEND: dict[str, Known] = {**_GRAPHS, **_LAYOUT, **_BETWEEN_RANKS, **_WITH_EXPERTS, **_OTHER}
"""Variants by name."""
