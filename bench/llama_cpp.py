"""A Qwen3 twin behind llama.cpp's server: a second OpenAI-compatible server, which is not vLLM.

    python bench/llama_cpp.py CHECKPOINT PORT

Writes the checkpoint as a GGUF file beside the system's temporary files, values as they are, and serves it until it is
ended. It needs `gguf` and `xllamacpp` (llama.cpp in a wheel), in an environment of their own: it imports nothing else.
"""

import json
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(checkpoint: Path, output: Path) -> None:
    """Write a Qwen3 checkpoint in bfloat16, its only weights in `model.safetensors`, as GGUF."""
    import gguf  # type: ignore[import-not-found]

    config = _read(checkpoint / "config.json")
    writer = gguf.GGUFWriter(str(output), "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_tokenizer(writer, checkpoint, config["eos_token_id"])
    for name, values in _tensors(checkpoint / "model.safetensors"):
        if values.ndim == 1:  # norms, which llama.cpp has in float32: the same values
            writer.add_tensor(name, (values.astype(np.uint32) << 16).view(np.float32))
        else:
            writer.add_tensor(name, values.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, checkpoint: Path, end: int) -> None:
    import gguf

    tokenizer = _read(checkpoint / "tokenizer.json")
    special = {one["id"] for one in tokenizer["added_tokens"]}
    ids = tokenizer["model"]["vocab"] | {one["content"]: one["id"] for one in tokenizer["added_tokens"]}
    words = sorted(ids, key=lambda word: ids[word])
    kinds = [gguf.TokenType.CONTROL if ids[word] in special else gguf.TokenType.NORMAL for word in words]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    template = checkpoint / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))


def _tensors(path: Path) -> list[tuple[str, "np.ndarray[Any, Any]"]]:
    """The bits of bfloat16 tensors, by llama.cpp's names."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header, found = json.loads(content[8 : 8 + size]), []
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] != "BF16":
            raise SystemExit(f"{path}: {name} is {about['dtype']}, expected BF16")
        start, end = about["data_offsets"]
        bits = np.frombuffer(content[8 + size + start : 8 + size + end], dtype=np.uint16).reshape(about["shape"])
        found.append((_renamed(name.removesuffix(".weight")), bits))
    return found


def _renamed(name: str) -> str:
    if name in _OUTER:
        return f"{_OUTER[name]}.weight"
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{_LAYER[part]}.weight"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main(checkpoint: Path, port: int) -> None:
    """Write and serve."""
    import xllamacpp  # type: ignore[import-not-found]

    path = Path(tempfile.mkdtemp()) / "twin.gguf"
    write_gguf(checkpoint, path)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {"twin"}
    parameters.n_ctx, parameters.n_parallel, parameters.port = 16 * 4096, 16, port
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_prompt, parameters.use_jinja = False, True
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
