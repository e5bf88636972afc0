"""Words for figures of performance, in English and Chinese."""

from npu_conformance.config.performance import FIGURES, LIMITED

_TIMES = {
    "latency": ("whole request", "整个请求"),
    "ttft": ("time to first token", "首 token 时延（TTFT）"),
    "tpot": ("time per output token", "每 token 时延（TPOT）"),
}
_RUNS = {
    "single": ("One request at a time", "逐个请求"),
    "loaded": ("Several at a time", "并发请求"),
}
_RATES = {
    "tokens_per_s": ("output tokens", "输出 token"),
    "requests_per_s": ("requests", "请求数"),
}
_OTHERS = {
    "throughput_tokens_per_s": ("Offline, all at once: output tokens", "离线批量：输出 token"),
    "throughput_requests_per_s": ("Offline, all at once: requests", "离线批量：请求数"),
    "start_s": ("Server: start until ready", "服务：启动到就绪"),
    "weights_s": ("Engine: reading weights", "引擎：读取权重"),
    "load_s": ("Engine: loading the model", "引擎：加载模型"),
    "compile_s": ("Engine: torch.compile", "引擎：torch.compile 编译"),
    "graph_s": ("Engine: graph capture", "引擎：图捕获"),
    "init_s": ("Engine: profiling, KV cache and warm-up", "引擎：profile、KV cache 与预热"),
    "weights_gib": ("Memory of the weights, a rank", "权重占用内存（每 rank）"),
    "graph_gib": ("Memory of captured graphs, a rank", "图捕获占用内存（每 rank）"),
    "kv_cache_gib": ("Memory of the KV cache, a rank", "KV cache 内存（每 rank）"),
    "kv_cache_tokens": ("Tokens that the KV cache holds", "KV cache 可容纳的 token 数"),
    "reference_tpot_ms": ("Reference on the CPU: time per output token", "CPU 参考：每 token 时延"),
    "speed_over_reference": ("Engine's speed over the CPU reference's", "引擎速度与 CPU 参考之比"),
}


def _words(name: str) -> tuple[str, str]:
    if name in _OTHERS:
        return _OTHERS[name]
    run, _, rest = name.partition("_")
    if run == "latency":
        run, rest = "offline", name
    english, chinese = _RUNS.get(run, ("Offline, one request at a time", "离线逐个请求"))
    if rest in _RATES:
        return f"{english}: {_RATES[rest][0]}", f"{chinese}：{_RATES[rest][1]}"
    what, percentile, _ = rest.split("_")
    return f"{english}: {_TIMES[what][0]}, {percentile.upper()}", f"{chinese}：{_TIMES[what][1]} {percentile.upper()}"


SPEED: dict[str, tuple[str, str]] = {name: _words(name) for name in FIGURES}
"""By figure."""
SPEED_AT: dict[str, tuple[str, str]] = {f"speed:{name}": SPEED[name] for name in LIMITED}
"""Where a ratio to the baseline is of."""
PERFORMANCE: dict[str, tuple[str, str]] = {
    **SPEED,
    # Of a row that has all its percentiles.
    **{
        name.removesuffix("_p50_ms"): (words[0].removesuffix(", P50"), words[1].removesuffix(" P50"))
        for name, words in SPEED.items()
        if name.endswith("_p50_ms")
    },
    "tool": ("Tool", "工具"),
    "bench": ("Speed as it is served (vllm bench)", "服务配置下的性能（vllm bench）"),
    "unit": ("Unit", "单位"),
    "over_baseline": ("Speed over the baseline's", "与基线之比"),
    "note_bench": (
        "{input} random tokens a prompt, {output} an answer; at most {concurrency} requests at once where there are "
        "several. Device: {device}. Load average before: {load}. P99 of few requests is the slowest. A ratio above 1 "
        "is faster; no absolute time is judged.",
        "每个提示词为 {input} 个随机 token，每次输出 {output} 个；并发时最多 {concurrency} 个请求。设备：{device}。"
        "测试前系统负载：{load}。请求数较少时 P99 即最慢的一次。比值大于 1 表示更快；不按绝对时间判定。",
    ),
    "limit_any_but_speed": (
        "No task scores and no sampling at a temperature were judged; speed is that of random prompts.",
        "未评估任务得分和带温度的采样；性能数据以随机提示词测得。",
    ),
    "log_says_not": (
        "the engine's log does not say: {names}",
        "引擎日志中没有：{names}",
    ),
    "published_bench": (
        "measured by vllm bench in the served configuration, with this run's lengths",
        "以 vllm bench 在服务配置下测得，输入输出长度见性能部分",
    ),
    "bench_times": ("Times of requests", "请求时延"),
    "bench_others": ("Throughput, start and memory", "吞吐、启动与内存"),
    "bench_commands": ("Commands", "命令"),
    "not_measured": ("Not measured", "未测"),
}
