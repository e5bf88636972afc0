"""Which of a candidate's parameters stands for which published one, and which have no counterpart."""

from collections.abc import Sequence

from npu_conformance.audit.published import parameter_names
from npu_conformance.checkpoints.inspect import Checkpoint

_HEAD = "lm_head.weight"
_EMBEDDING = "embed_tokens.weight"
_SHOWN = 3
# What neither engine loads, and transformers leaves out when it saves: layers that predict several tokens, and a
# table that older models stored.
_UNUSED, _BUFFER = "mtp.", ".rotary_emb.inv_freq"


def pair(source: Checkpoint, candidate: Checkpoint) -> tuple[dict[str, str], list[str]]:
    """Pair the parameters of two checkpoints by name.

    A tied `lm_head.weight` need not be stored; where only the candidate stores it, it must be the embedding.

    Returns:
        Published names by the candidate's, and a line for each thing that is wrong.
    """
    published, found = (
        [name for name in parameter_names(checkpoint) if not name.startswith(_UNUSED) and not name.endswith(_BUFFER)]
        for checkpoint in (source, candidate)
    )
    tied = _ties(source, _HEAD not in published)
    pairs = {name: name for name in found if name in set(published)}
    problems = _head_problems(published, found, tied, _ties(candidate, tied))
    embedding = next((name for name in published if name.endswith(_EMBEDDING)), None)
    if tied and embedding and _HEAD in found and _HEAD not in published:
        pairs[_HEAD] = embedding
    missing = [name for name in published if name not in pairs and name != _HEAD]
    if missing:
        problems.append(f"{_listed(missing)}: missing in the candidate")
    unexpected = [name for name in found if name not in pairs]
    if unexpected:
        problems.append(f"{_listed(unexpected)}: in the candidate, but not in the published checkpoint")
    return pairs, problems


def _ties(checkpoint: Checkpoint, default: bool) -> bool:
    own = checkpoint.text_config.get("tie_word_embeddings", default)
    return bool(checkpoint.config.get("tie_word_embeddings", own))


def _head_problems(published: Sequence[str], found: Sequence[str], tied: bool, candidate_ties: bool) -> list[str]:
    if candidate_ties and not tied:
        return [
            f"{_HEAD}: not used, for the candidate's config.json says tie_word_embeddings; the published model has a "
            "head of its own: set it to false"
        ]
    if _HEAD not in found and not candidate_ties and (tied or _HEAD in published):
        return [
            f"{_HEAD}: {'tied lm_head' if tied else 'lm_head'} dropped: missing in the candidate, whose config.json "
            "does not say tie_word_embeddings"
        ]
    return []


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
