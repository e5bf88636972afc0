"""Lines of logs as they were met, of the failures that engines are known for, and of a healthy engine."""

# As they stand in the sources that the table names.
MET: dict[str, list[str]] = {
    "quantisation": ["RuntimeError: fp8 quantization is currently not supported in npu"],
    "streams": [
        "NPU function error: c10_npu::acl::AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207008",
        "[PID: 46706] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream resources are",
    ],
    "task queue": ["Do not support TASK_QUEUE_ENABLE = 2 during NPU graph capture, please export TASK"],
    "launch blocking": ["ValueError: ACL graph is incompatible with ASCEND_LAUNCH_BLOCKING=1. Please unset "],
    "graph capture": [
        "RuntimeError: EZ9999: [PID:xxx] 507903... ACL Graph capture error",
        "RuntimeError: status == aclmdlRICaptureStatus::ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE INTERNAL ASSERT FAILED",
        "rtMemcpy execution failed, reason=the current capture mode does not support this operation[FUNC:FuncError",
    ],
    "NPU memory": [
        "RuntimeError: NPU out of memory. Tried to allocate 22.00 MiB (NPU 0; 60.97 GiB total capacity; 10.24 GiB "
        "already allocated; 10.24 GiB current active; 19.52 MiB free; 10.65 GiB reserved in total by PyTorch)"
    ],
    "CUDA memory": ["OutOfMemoryError: CUDA out of memory"],
    "pinned memory": [
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed",
        "RuntimeError: pin_memory=True requires a CUDA or other accelerator backend; no pinned memory allocator is",
    ],
    "memory at start": [
        "ValueError: Free memory on device (10.5/61.0 GiB) on startup is less than desired GPU memory utilization (0.9"
    ],
    "host memory": [
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 99 bytes.",
        "MemoryError",
    ],
    "HCCL port": [
        "[rank0]: EJ0003: [PID: 159] 2025-03-26-17:01:02.816.428 Failed to bind the IP port. Reason: The IP address",
        "Communication_Error_Bind_IP_Port(EI0019)",
        "[HcclSocket][Listen] socket type[0], listen on ip[192.2.2.195] and specific port[16666] fail. Please check",
    ],
    "HCCL timeout": [
        "[rank1]: EI0006: [PID: 1292363] 2025-04-08-18:07:20.444.436 Getting socket times out. Reason: Remote Rank did",
        "[Wait][LinkEstablish]wait socket establish timeout, role[1] rank[12] timeout[120]",
    ],
    "HCCL watchdog": ["[Rank 1] Watchdog caught collective operation timeout: WorkHCCL(SeqNum=196, OpType=ALLREDUCE, "],
    "HCCL link": [
        "[rank1]: EI0009: [PID: 2225827] 2025-09-24-20:59:48.119.066 Transport init error. Reason: [Create][DestLink]",
        "RuntimeError: EJ0002: [PID: 38079] 2025-07-15-12:45:31.202.787 The network port is down.",
    ],
    "CANN libraries": [
        "ImportError: libhccl.so: cannot open shared object file: No such file or directory. Please check",
        "ImportError: libatb.so: cannot open shared object file: No such file or directory",
    ],
    "CANN version": [
        "ImportError: /usr/local/python3.10.14/lib/python3.10/site-packages/torch_npu/lib/libtorch_npu.so: undefined "
        "symbol: _ZN3atb15CreateOperationINS_5infer14GroupTopkParamEEEiRKT_PPNS_9OperationE",
        "OSError: /home/mtp/Ascend/nnal/atb/latest/atb/cxx_abi_1/lib/libtbe_adapter.so: undefined symbol: _ZN3Mki2DlC1",
    ],
    "operator package": [
        "RuntimeError: call aclnnSwiGlu failed, detail:EZ1001: [PID: 72153] 2025-03-04-15:41:40.695.851 Get path and "
        "read binary_info_config.json failed, please check if the opp_kernel package is installed!"
    ],
    "no device": [
        "RuntimeError: No NPUs are available",
        "AssertionError: DP adjusted local rank 0 is out of bounds for 0 devices.",
        "AssertionError: local_world_size (1) must be less than or equal to the number of visible devices (0).",
        "aclrtSetDeviceImpl: open device 0 failed, runtime result = 107001.",
        "SetDevice:Set visible device failed, invalid device=0, input visible devices:4",
    ],
    "no platform": ['raise RuntimeError("Failed to infer device type")'],
    "dtype": [
        "RuntimeError: call aclnnCast failed, detail:EZ1001: 2025-07-01-14:51:13.783.858 self not implemented for "
        "DT_BFLOAT16, should be in dtype support list [DT_FLOAT16,DT_FLOAT,"
    ],
    "KV cache": [
        "ValueError: To serve at least one request with the model's max seq len (32768), (4.5 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (1.0 GiB).",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when",
    ],
    "remote code": [
        "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
        "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the",
        "Please set the option `trust_remote_code=True` to permit loading of this model.",
    ],
    "architecture": [
        "ValueError: Model architectures ['LlamaModel'] are not supported for now. Supported architectures:",
        "model type `qwen3_vl` but Transformers does not recognize this architecture. This could be because of an",
    ],
    "forked NPU": [
        "(EngineCore_DP0 pid=14421) ERROR 11-27 08:19:08 [core.py:708] RuntimeError: Cannot re-initialize NPU in "
        "forked subprocess. To use NPU with multiprocessing, you must use the 'spawn' start method"
    ],
    "kernel missing": ["AttributeError: '_OpNamespace' '_C' object has no attribute 'selective_scan_fwd'"],
    "sparse attention": ["Sparse Attention is not supported on CPU."],
    "head size": [
        "E89999[PID: 11276] 2026-05-26-16:53:01.891.272 (E89999): When layout is TND, queryD(256), keyD(256) and "
        "valueD(256) must be same equal 192/128/64, or queryD and keyD equal 192 and valueD equal 128.[FUNC:CheckInput",
        "When layout is TND, queryD(128) or keyD(128) must be 192, valueD(128) must be 192/128!",
    ],
    "lengths of a batch": [
        "When layout is TND, queryT(21) must be equal to the last element of actualSequenceLengthQ(20)"
    ],
    "memory profiling": [
        "AssertionError: Error in memory profiling. Initial free memory 82.94 GiB, current free memory 90.17 GiB. This"
    ],
    "LoRA shape": ["RuntimeError: hidden in should be smaller than hidden out"],
    "LoRA rank": ["ValueError: LoRA rank 64 is greater than max_lora_rank 16."],
    "tokenizer class": [
        "ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported.",
        "AttributeError: 'list' object has no attribute 'keys'",
    ],
    "no user name": ["KeyError: 'getpwuid(): uid not found: 1000'"],
    "device held": [
        "dcmi module initialize failed. ret is -8005",
        "dcmi model initialized failed, because the device is used. ret is -8020",
    ],
    "not safetensors": [
        "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
        "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: header too large",
    ],
    "shards missing": ["FileNotFoundError: Weight files referenced in index but missing: {'model-00002-of-00002.safe"],
    "weights missing": ["ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}"],
    "LoRA features": [
        "ValueError: vLLM does not yet support DoRA. LoRA rank 8 is",
        'ValueError: vLLM only supports modules_to_save being either None or ["classifier", "score"] for',
        "ValueError: vLLM does not support init_lora_weights='pissa'. Inits such as PiSSA",
        "ValueError: Adapter bias is not supported.",
        "ValueError: Missing required configuration fields: {'lora_alpha'}",
    ],
    "LoRA modules": [
        "ValueError: While loading /lora, expected target modules in {'q_proj'} but received ['model.layers.0.nope']. "
        "Please verify that the loaded LoRA module is correct",
        "ValueError: base_model.model.lm_head.weight is unsupported LoRA weight",
    ],
    "LoRA weights": ["ValueError: /lora doesn't contain tensors"],
    "no LoRA": ["ValueError: XForCausalLM does not support LoRA yet."],
    "quantised LoRA": ["AttributeError: 'AscendRMSNorm' object has no attribute 'next_need_quant_fusion_linear'"],
    "quantisation's description": [
        "There is no available ascend quantizer.",
        "ERROR: ModelSlim Quantization Config Not Found",
        "KeyError: 'model.layers.0.self_attn.q_proj.weight'",
        "ValueError: Not all shards of model.layers.0.mlp.gate_up_proj are quantized with same quant type. Shard",
        "Currently, vLLM Ascend doesn't support quant_type=W2A8 for layer_type=linear.",
    ],
    "dtype of scales": [
        "AclNN_Parameter_Error(EZ1001): Tensor scale not implemented for DT_FLOAT16, should be in dtype "
    ],
    "group size": [
        "when weight's dtype is [int4], weight's format is [FRACTAL_NZ], antiquantGroupSize should be 128 or"
    ],
    "shapes of weights": [
        "RuntimeError: You set `ignore_mismatched_sizes` to `False`, thus raising an error.",
        "AssertionError: Attempted to load weight (torch.Size([256, 1])) into parameter (torch.Size([1]))",
    ],
    "weight without a place": [
        "ValueError: There is no module or parameter named 'model.layers.0.self_attn.k_scale' in Qwen3ForCausalLM. The"
    ],
    "method of quantisation": [
        "ValueError: Unknown quantization method: gptq_v2. Must be one of ['awq', 'fp8', ",
        "ValueError: Quantization method specified in the model config (awq) does not match the quantization method "
        "specified in the `quantization` argument (ascend).",
        "ValueError: torch.bfloat16 is not supported for quantization method gptq. Supported dtypes: [torch.float16]",
    ],
    "shares of a layer": [
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).",
        "ValueError: The input size is not aligned with the quantized weight shape. This can be caused by too large ",
    ],
    "nested config": ["AttributeError: 'dict' object has no attribute 'to_dict'"],
    "not a .bin": [
        "_pickle.UnpicklingError: invalid load key, 'v'.",
        "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
    ],
    "empty JSON": ["json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"],
    "config value": [
        "ValueError: `num_hidden_layers` (32) must be equal to the number of `layer_types` (4)",
        "huggingface_hub.errors.StrictDataclassFieldValidationError: Validation error for field 'head_dim'",
    ],
    "longest request": [
        "ValueError: User-specified max_model_len (65536) is greater than the derived max_model_len (max_position_embed"
    ],
    "disk": ["OSError: [Errno 28] No space left on device: '/root/.cache/vllm/torch_compile_cache'"],
    "driver": [
        "Warning: expandable_segments feature is not supportted                     and the possible cause is that "
        "driver and firmware packages do not match. (function operator())"
    ],
    "HCCL": [
        "HCCL function error: HcclCommInitRootInfo(numRanks, &rootInfo, rank, &(comm->hcclComm_)), error code is 11"
    ],
    "inner error": [
        "[rank0]:[W904 09:50:12.024496247 compiler_depend.ts:57] Warning: EZ9999: Inner Error!",
        "RuntimeError: call aclnnQuantMatmulWeightNz failed, detail:E69999: Inner Error!",
        "E89999: Inner Error!",
    ],
    "torch_npu": ["[ERROR] 2025-07-01-08:38:50 (PID:114020, Device:-1, RankID:1) ERR00100 PTA call acl api failed"],
    "crash": [
        "(RayWorkerWrapper pid=24036) Fatal Python error: Segmentation fault",
        "Fatal Python error: Aborted",
        "!!!!!!! Segfault encountered !!!!!!!",
    ],
}
# Of a healthy engine on an NPU, as issues 1991, 9691 and 1127 quote them, and of one on a CPU.
HEALTHY = """\
UserWarning: Warning: The /usr/local/Ascend/cann-8.5.1 owner does not match the current owner.
INFO 07-24 16:14:41 [__init__.py:235] Platform plugin ascend is activated
WARNING 07-24 16:14:43 [_custom_ops.py:20] Failed to import from vllm._C with ModuleNotFoundError("No module named")
Warning: Device do not support double dtype now, dtype cast replace with float.
Warning: CAUTION: The operator 'aten::isin' is not currently supported on the NPU backend and will fall back to the CPU
[rank7]: Warning: The HCCL execution timeout was set to never timeout, so it is bigger than watchdog timeout 1800000ms
INFO 08-25 04:33:08 [kv_cache_utils.py:849] GPU KV cache size: 582,528 tokens
Capturing ACL graphs (mixed prefill-decode, PIECEWISE): 100%
engine args: {'trust_remote_code': True, 'quantization': 'ascend', 'gpu_memory_utilization': 0.9}
[ERROR] 2025-06-09-06:57:54 (PID:92380, Device:0, RankID:-1) ERR99999 UNKNOWN applicaiton exception
"""
