"""tokenizer.json read by the tokenizers library alone: a second reading of what transformers' classes make of it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.headers import read_json
from npu_conformance.errors import CheckpointError

_FILE = "tokenizer.json"


class TokenizerFile:
    """A checkpoint's tokenizer.json, without the class that tokenizer_config.json names."""

    def __init__(self, folder: Path) -> None:
        """Read it.

        Args:
            folder: of a checkpoint that has one (see `tokenizer_file`).

        Raises:
            CheckpointError: it is damaged, or newer than the library; or tokenizer_config.json is damaged.
        """
        self._tokenizer = _read(folder / _FILE)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        path = folder / "tokenizer_config.json"
        self._settings: dict[str, Any] = read_json(path, "") if path.is_file() else {}
        self._special = {self._tokenizer.token_to_id(word) for word in _special_words(self._settings)}

    def ids(self, text: str, *, templated: bool) -> list[list[int]]:
        """The ids of a text, in each form that is right.

        A chat template has written all special tokens. Else the file's own post-processor adds them, or, where
        tokenizer_config.json says so, its class.
        """
        bare: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        if templated:
            return [bare]
        found: list[list[int]] = [self._tokenizer.encode(text).ids]
        around = [self._end("bos"), self._end("eos")]
        if any(isinstance(self._settings.get(f"add_{side}_token"), bool) for side in ("bos", "eos")):
            found.append([*around[0], *bare, *around[1]])
        return found

    def _end(self, side: str) -> list[int]:
        word = _word(self._settings.get(f"{side}_token"))
        number = None if word is None else self._tokenizer.token_to_id(word)
        return [number] if self._settings.get(f"add_{side}_token") is True and number is not None else []

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens, without those that tokenizer_config.json or the file calls special."""
        said = [token for token in ids if token not in self._special]
        text: str = self._tokenizer.decode(said, skip_special_tokens=True)
        return text

    def whole_text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones too."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def pieces(self) -> dict[int, str]:
        """The text of each token of the vocabulary, by its id."""
        ids = sorted(self._tokenizer.get_vocab(with_added_tokens=True).values())
        texts: list[str] = self._tokenizer.decode_batch([[one] for one in ids], skip_special_tokens=False)
        return dict(zip(ids, texts, strict=True))


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # of Rust; its class is Exception itself
        raise CheckpointError(
            f"{path}: the tokenizers library cannot read it: {error}: download it again, or install a newer tokenizers"
        ) from error


def why_unread(folder: Path) -> str | None:
    """Why the library cannot read a checkpoint's tokenizer.json; None where it can, has none, or is not installed."""
    path = folder / _FILE
    if find_spec("tokenizers") is None or not path.is_file():
        return None
    try:
        _read(path)
    except CheckpointError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def tokenizer_file(folder: Path) -> TokenizerFile | None:
    """A checkpoint's tokenizer.json; None where it has none."""
    return TokenizerFile(folder) if (folder / _FILE).is_file() else None


def _special_words(settings: dict[str, Any]) -> list[str]:
    words = [value for key, value in settings.items() if key.endswith("_token")]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        listed = settings.get(key) or []
        words += listed.values() if isinstance(listed, dict) else listed
    words += [one for one in (settings.get("added_tokens_decoder") or {}).values() if one.get("special")]
    return [word for word in map(_word, words) if word is not None]


def _word(token: Any) -> str | None:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None
