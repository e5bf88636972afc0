"""Failures that engines are known for: what a line of their log means, and what to do about it.

Every row was met or read somewhere, and its last field says where; its line as it was met is in
`tests/unit/test_known_failures.py`. A number after `#` is an issue of vllm-project/vllm-ascend.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_READ = 1 << 20
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
_CANN_LIBRARIES = r"lib(?:hccl|ascendcl|atb|ascend_hal|runtime|opapi)\.so"


@dataclass(frozen=True)
class Known:
    """A failure that engines are known for."""

    name: str
    pattern: re.Pattern[str]
    """Of a line that only this failure writes."""
    meaning: str
    remedy: str
    source: str
    general: bool = False
    """Says little more than that something failed: used only where nothing else is recognised."""

    def __str__(self) -> str:
        return f"known failure: {self.meaning}; what to do: {self.remedy} ({self.source})"


def _known(name: str, pattern: str, meaning: str, remedy: str, source: str, *, general: bool = False) -> Known:
    return Known(name, re.compile(pattern, re.MULTILINE), meaning, remedy, source, general)


_CRASH = _known(
    "crash",
    r"Fatal Python error: (?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating.point exception)"
    r"|!!!!!!! Segfault encountered !!!!!!!",
    "a process crashed in native code",
    "the stack below that line names the library and what called it; where it is CANN's or torch_npu's, see whether "
    "`npu-conformance doctor` finds versions that do not belong together, whether `base`, which is eager, runs, and "
    "~/ascend/log/debug/plog",
    "CPython's faulthandler; libtvm_ffi.so of apache-tvm-ffi 0.1.15; vllm issue 3053; #10136",
    general=True,
)
KNOWN = (
    _known(
        "quantisation",
        r"quantization is currently not supported in npu",
        "vllm-ascend has no kernels for this checkpoint's quantisation on this NPU",
        "serve plain weights: `convert: bfloat16` in the model's YAML, or `npu-conformance convert SRC DST`",
        "published report on Qwen3-4B-FP8; vllm platforms/interface.py, verify_quantization",
    ),
    _known(
        "streams",
        r"Insufficient_Stream_Resources|no stream resource|AclmdlRICaptureBegin.*error code is 207008",
        "graph capture ran out of the NPU's streams",
        "capture fewer sizes (`compilation_config: {cudagraph_capture_sizes: […]}`), or end other processes there",
        "#9691",
    ),
    _known(
        "task queue",
        r"Do not support TASK_QUEUE_ENABLE = 2 during NPU graph capture",
        "TASK_QUEUE_ENABLE=2 and graph capture exclude each other",
        "export TASK_QUEUE_ENABLE=1",
        "libtorch_npu.so of torch_npu 2.10.0",
    ),
    _known(
        "launch blocking",
        r"ACL graph is incompatible with ASCEND_LAUNCH_BLOCKING=1",
        "ASCEND_LAUNCH_BLOCKING=1 and graphs exclude each other",
        "unset ASCEND_LAUNCH_BLOCKING",
        "vllm_ascend 0.23.0 platform.py:652; #2138",
    ),
    _known(
        "graph capture",
        r"ACL Graph capture error|(?:EZ9999|error code).{0,40}507903|AclmdlRICapture\w+.*error code is \d+"
        r"|ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE INTERNAL ASSERT|current capture mode does not support this operation",
        "an operator failed while a graph was captured",
        "see whether `base`, which is eager, runs; then try HCCL_OP_EXPANSION_MODE=AIV under envs: in the YAML, "
        "cudagraph_mode PIECEWISE, or enforce_eager: true",
        "published report on Qwen3-4B-FP8; #2383, #6002, #10309",
    ),
    _known(
        "NPU memory",
        r"NPU out of memory\.",
        "the NPU's memory is full",
        "see with `npu-smi info` who else holds it; lower max_model_len, max_num_seqs or gpu_memory_utilization, raise "
        "tensor_parallel_size, or set PYTORCH_NPU_ALLOC_CONF=expandable_segments:True",
        "published report on Qwen3-4B-FP8; #19, #1127; libtorch_npu.so of torch_npu 2.10.0",
    ),
    _known(
        "CUDA memory",
        r"CUDA out of memory",
        "the GPU's memory is full",
        "see with `nvidia-smi` who else holds it; lower max_model_len, max_num_seqs or gpu_memory_utilization",
        "published report on Qwen3-4B-FP8",
    ),
    _known(
        "memory at start",
        r"Free memory on device .* on startup\s+is less than desired GPU memory utilization",
        "another process holds memory of the device, so that the engine's share of it is not free",
        "end that process, or lower gpu_memory_utilization in the YAML",
        "vllm_ascend 0.23.0 worker/worker.py:473; vllm v1/worker/utils.py",
    ),
    _known(
        "host memory",
        r"DefaultCPUAllocator: can't allocate memory|^MemoryError\b",
        "this machine's memory is full",
        "end other processes, lower VLLM_CPU_KVCACHE_SPACE for a CPU engine, or use a larger machine",
        "libc10.so of torch 2.13.0",
    ),
    _known(
        "HCCL port",
        r"EJ0003|EI0019|Failed to bind the IP port|listen on ip\[[^]]*\] and specific port\[\d+\] fail",
        "a port that HCCL listens on is in use, as a rule by another engine on this machine",
        "end the other one, or give each another HCCL_IF_BASE_PORT under envs: in the YAML",
        "#405, #4725, #16205",
    ),
    _known(
        "HCCL timeout",
        r"EI0006|Getting socket times out|wait socket establish timeout",
        "a rank waited for another that did not come",
        "look for the first error of the other ranks, which is the cause; if all only waited, raise "
        "HCCL_CONNECT_TIMEOUT (120 s by default), and between hosts check links and TLS with hccn_tool",
        "#486, #1955, #5461",
    ),
    _known(
        "HCCL watchdog",
        r"Watchdog caught collective operation timeout",
        "a collective operation did not end",
        "look for the first error of the other ranks; run the variant with one device less in parallel to see whether "
        "it is communication at all",
        "#382; libtorch_npu.so of torch_npu 2.10.0",
    ),
    _known(
        "HCCL link",
        r"EI0009|EJ0002|Transport init error|network port is down",
        "a link between NPUs is down or was refused",
        "see `hccn_tool -i N -link -g` for each NPU, and which rank failed first",
        "#1815, #3162",
    ),
    _known(
        "CANN libraries",
        _CANN_LIBRARIES + r": cannot open shared object file",
        "CANN's libraries are not found",
        "`source set_env.sh` in CANN's folder, and nnal/atb/set_env.sh for libatb.so; in CI use `bash -el`; in a "
        "container mount the driver's lib64",
        "torch_npu 2.10.0 __init__.py:42; #152, #262",
    ),
    _known(
        "CANN version",
        r"lib(?:torch_npu|tbe_adapter|atb)\S*\.so: undefined symbol",
        "torch_npu, CANN and NNAL are not of one release",
        "install the versions that belong together: `npu-conformance doctor` lists them",
        "#117; Ascend/pytorch issue 99",
    ),
    _known(
        "operator package",
        r"Get path and read binary_info_config\.json failed",
        "CANN has no operators for this kind of NPU",
        "install CANN's kernels (ops) package of this NPU, of the toolkit's version",
        "#237",
    ),
    _known(
        "no device",
        r"No NPUs are available|out of bounds for 0 devices\.|number of visible devices \(0\)"
        r"|open device \d+ failed, runtime result = 107001|Set visible device failed, invalid device",
        "no NPU is visible to the engine, though device files may be there",
        "unset ASCEND_RT_VISIBLE_DEVICES, or let it count from 0, ascending, over what the container has; "
        "`npu-conformance doctor` compares them",
        "libtorch_npu.so of torch_npu 2.10.0, device_count_ensure_non_zero; vllm_ascend 0.23.0 worker/worker.py:438 "
        "and 490; #10227",
    ),
    _known(
        "no platform",
        r"Failed to infer device type",
        "vllm found no platform to run on",
        'see what `python -c "import torch, torch_npu"` says; on an NPU vllm-ascend must be installed beside vllm',
        "vllm config/device.py; #262",
    ),
    _known(
        "dtype",
        r"not implemented for DT_\w+|should be in dtype support list",
        "an operator does not know this dtype on this NPU",
        "serve another dtype (`serve: {dtype: float16}`; an Atlas 300I and a 910A have no bfloat16)",
        "LlamaFactory issues 4165, 7522 and 8511",
    ),
    _known(
        "KV cache",
        r"KV\s+cache is needed, which is larger than the available KV cache|No available memory for the cache blocks",
        "the KV cache does not fit beside the weights",
        "lower serve.max_model_len, raise gpu_memory_utilization, or on a CPU VLLM_CPU_KVCACHE_SPACE",
        "vllm 0.32 v1/core/kv_cache_utils.py:1011 and 1031",
    ),
    _known(
        "remote code",
        r"trust_remote_code=True` (?:to permit|in LLM)|requires you to execute (?:custom code|the configuration file)",
        "the checkpoint needs code of its own, which was not allowed to run",
        "if you trust it: `serve: {trust_remote_code: true}` in the YAML and --trust-remote-code on the command line",
        "vllm transformers_utils/config.py:412; transformers dynamic_module_utils.py:703",
    ),
    _known(
        "architecture",
        r"Model architectures .* are not supported for now|does not recognize this architecture",
        "this vllm or transformers is without the model's architecture",
        "use a release that has it (`npu-conformance doctor` lists which belong together); for the reference alone "
        "--reference-python can name another interpreter",
        "vllm issue 9713; #3819",
    ),
    _known(
        "driver",
        r"possible cause is that driver and firmware packages do not match",
        "the driver is older than this CANN expects, or does not match its firmware",
        "update driver and firmware (Ascend HDK) on the host to the release of CANN's notes",
        "libtorch_npu.so of torch_npu 2.10.0; open-mmlab/mmcv issue 3216",
        general=True,
    ),
    _known(
        "HCCL",
        r"HCCL function error|ERR02200 DIST call hccl api failed",
        "HCCL failed",
        "look above for the first E… code of any rank, and in ~/ascend/log/debug/plog",
        "#397, #3196",
        general=True,
    ),
    _known(
        "inner error",
        r"\bE[A-Z]9999\b",
        "CANN reports an inner error of an operator or of the device",
        "look for the operator's name below it and in ~/ascend/log/debug/plog; see whether `base`, which is eager, "
        "runs; ASCEND_LAUNCH_BLOCKING=1 makes an eager engine's traceback name the right line",
        "#2763",
        general=True,
    ),
    _known(
        "torch_npu",
        r"\bERR0\d{4} (?:PTA|OPS|DIST|GRAPH|PROF)\b",
        "torch_npu could not do what it was asked for",
        "the lines beside its ERR… code say which operator or call; see ~/ascend/log/debug/plog",
        "torch_npu 2.10.0 utils/_error_code.py; #237, #7676",
        general=True,
    ),
    _CRASH,
)


def find_known(text: str) -> Known | None:
    """The failure that a log shows: the first specific one, else the first general one."""
    found = [
        (known.general, match.start(), known) for known in KNOWN if (match := known.pattern.search(text)) is not None
    ]
    return min(found, key=lambda one: one[:2])[2] if found else None


def explanation(log: Path, *, killed: bool = False, events: Path = _CGROUP_EVENTS) -> str:
    """What is known of the failure in a worker's log, as a line that ends with a newline; empty where nothing is.

    Args:
        log: its log, of which the last MiB is read; need not exist.
        killed: a process ended that nobody here had ended, by SIGKILL as far as is known.
        events: this container's `memory.events`; need not exist.
    """
    text = _end_of(log)
    known = find_known(text)
    if killed and (known is None or known.general) and not _CRASH.pattern.search(text):
        return f"{_killed(events)}\n"
    return "" if known is None else f"{known}\n"


def _end_of(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _READ))
        return file.read().decode("utf-8", errors="replace")


def _killed(events: Path) -> str:
    """SIGKILL without a word in the log: as a rule the kernel's, for memory."""
    counted = re.search(r"^oom_kill (\d+)$", events.read_text() if events.is_file() else "", re.MULTILINE)
    times = (
        f", which has killed {counted[1]} processes of this container so far" if counted and counted[1] != "0" else ""
    )
    return (
        f"known failure: killed from outside without a word in its log, as the kernel does for memory{times}; what to "
        "do: see `dmesg`, give the container more memory or the engine less (VLLM_CPU_KVCACHE_SPACE, --prompts)"
    )
