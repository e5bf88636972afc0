r"""Chinese for the messages of checks that ask a server, see `messages`.

They quote what the server said, so that each pattern names its own words around the quotation.
"""

_ROUTE = {"of a text": "文本", "of messages": "对话"}

SERVED_MESSAGES: tuple[tuple[str, str], ...] = (
    (r"a server is asked in serving only", "仅在 serving 中向服务器提问"),
    (r"no prompt is judged in the chat template", "没有提示词按对话模板判定"),
    (r"the checkpoint has no chat template", "检查点没有对话模板"),
    (r"the server's parser of reasoning takes marks out of the text", "服务器的推理解析器会从文本中去掉标记"),
    (r"all answers part at a tie", "所有回答都在近似并列处分开"),
    (r"no answer has text to stop at", "没有回答含可作停止字符串的文本"),
    (r"no answer has two tokens", "没有回答含两个 token"),
    (r"the server does not tell at /metrics what it computes", "服务器的 /metrics 未给出正在计算的请求数"),
    (r"base was not asked without its adapter", "base 未在不带适配器的情况下运行"),
    (r"(\d+) labels differ at a tie", r"有 \1 个标签在近似并列处不同"),
    (r"(\d+) part from the answer alone at a tie", r"有 \1 个回答在近似并列处与单独请求时分开"),
    (r"(\d+) requests are still computed after their client went away", r"客户端断开后仍有 \1 个请求在计算"),
    (r"(\S+): asked for (\S+), answers as (\S+)", r"\1：请求 \2，以 \3 的名义回答"),
    (r"the LoRA (\S+) is not among the models it lists: (.+)", r"LoRA \1 不在服务器列出的模型中：\2"),
    (r"the LoRA (\S+) is listed as one of (\S+), not of (\S+)", r"LoRA \1 列在 \2 之下，而不是 \3"),
    (r"(\S+) is not among the models it lists: (.+)", r"\1 不在服务器列出的模型中：\2"),
    *(
        one
        for english, chinese in _ROUTE.items()
        for one in (
            (
                rf"(\S+): the server makes (\d+) tokens {english}, expected (\d+)",
                rf"\1：服务器将{chinese}分为 \2 个 token，应为 \3 个",
            ),
            (
                rf"(\S+): the server makes (\d+) tokens {english}, expected (\d+): (\[.*\]) from index (\d+), "
                r"expected (\[.*\])",
                rf"\1：服务器将{chinese}分为 \2 个 token，应为 \3 个：从下标 \5 起为 \4，应为 \6",
            ),
            (
                rf"(\S+): the server makes {english} the right ids, but the first, (\d+), stands twice: a second BOS",
                rf"\1：服务器对{chinese}的分词正确，但首个 token \2 出现两次：多了一个 BOS",
            ),
        )
    ),
    (
        r"generation_config asks for (\w+) (\S+), judged with (\S+): the server takes it where a request names none; "
        r"serve with engine_args: \{generation_config: vllm\}, or write it into every request",
        r"generation_config 要求 \1 为 \2，判定时为 \3：请求未指定时服务器会采用它；请以 "
        r"engine_args: {generation_config: vllm} 启动，或在每个请求中写明",
    ),
    (
        r"not judged, for judged answers are greedy; served where a request names none: (.+)",
        r"不作判定，因为判定的回答是贪心的；请求未指定时服务器采用：\1",
    ),
    (r"(\S+ \(\w+, )(\d+) parts\): the stream ends without saying so", r"\1\2 个部分)：流结束时未作声明"),
    (r"(\S+): ('.*') in the chat, ('.*') as a completion", r"\1：对话中为 \2，补全中为 \3"),
    (r"(\S+): says ('.*'), alone ('.*'), of the same tokens", r"\1：回答 \2，单独请求时为 \3，而 token 相同"),
    (
        r"(\S+): (\{.*\}|None) (\d+) times among (\d+) clients, (\{.*\}|None) alone",
        r"\1：\4 个客户端并发时有 \3 次为 \2，单独请求时为 \5",
    ),
    (r"(\S+): has (\d+) tokens with max_tokens (\d+)", r"\1：max_tokens 为 \3 时有 \2 个 token"),
    (
        r"(\S+): log-probabilities of (\d+) of (\d+) tokens",
        r"\1：\3 个 token 中只有 \2 个带有对数概率",
    ),
)
