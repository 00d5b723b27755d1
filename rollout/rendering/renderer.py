"""Pieces to token ids. Text between two control tokens is encoded as one run, as the upstream tokenizer does."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.ids import content_hash
from data_contracts.messages import Message
from data_contracts.token_rows import SegmentKind
from data_contracts.tools import ToolSpec
from rollout.rendering.family import (
    IM_END,
    MARKERS,
    Family,
    Piece,
    generation_prompt,
    prompt_pieces,
    result_pieces,
    visible,
)

_MARKER_PATTERN = re.compile("(" + "|".join(map(re.escape, MARKERS)) + ")")


@dataclass(frozen=True)
class Rendered:
    """Token ids and, parallel to them, what each token is."""

    ids_T: tuple[int, ...]
    kinds_T: tuple[int, ...]
    trained_T: tuple[bool, ...]
    turns_T: tuple[int, ...]


def tokenizer_id(tokenizer: Any) -> str:
    """Fingerprint of a tokenizer: the hash of its full JSON description. Equal ids mean equal token ids for equal text."""
    return content_hash(json.loads(tokenizer.backend_tokenizer.to_str()))


def _without_markers(tokenizer: Any) -> Any:
    """The tokenizer's model alone: no text can become an added token (law 2)."""
    backend = tokenizer.backend_tokenizer
    description = json.loads(backend.to_str())
    description["added_tokens"] = []
    description["post_processor"] = None
    description["truncation"] = description["padding"] = None
    return type(backend).from_str(json.dumps(description))


class Renderer:
    """Renders for one tokenizer and one family.

    Raises ValueError for a tokenizer that lacks a control token of the family.
    """

    def __init__(self, tokenizer: Any, family: Family = Family.QWEN3_INSTRUCT, thinking: bool = True) -> None:
        self.tokenizer, self.family, self.thinking = tokenizer, family, thinking
        self.tokenizer_id = tokenizer_id(tokenizer)
        self._plain = _without_markers(tokenizer)
        self.marker_ids = {marker: self._marker_id(marker) for marker in MARKERS}
        self.markers_by_id = {number: marker for marker, number in self.marker_ids.items()}
        self.end_id = self.marker_ids[IM_END]

    def _marker_id(self, marker: str) -> int:
        number = self.tokenizer.backend_tokenizer.token_to_id(marker)
        if number is None:
            raise ValueError(
                f"the tokenizer has no control token {marker!r}, which the {self.family.value} format needs: "
                "choose a model of the Qwen3 or Qwen2.5 family, or add the token to the tokenizer"
            )
        return int(number)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Rendered:
        """The ids after which the model writes its next message."""
        shown = visible(messages)
        turn = sum(m.role.value == "assistant" for m in shown)
        header = generation_prompt(self.family, turn, self.thinking)
        return self.encode([*prompt_pieces(self.family, shown, tools), *header])

    def results(self, results: Sequence[str], turn: int, turn_closed: bool) -> Rendered:
        """The ids between an assistant turn and the next one: end of the turn, tool results, header. Only this suffix
        is ever tokenised in an attempt; nothing that a model sampled is (law 1)."""
        header = generation_prompt(self.family, turn, self.thinking)
        return self.encode([*result_pieces(results, turn, turn_closed), *header])

    def conversation(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Rendered:
        """A whole conversation, assistant text marked as trained."""
        return self.encode(prompt_pieces(self.family, visible(messages), tools))

    def encode(self, pieces: Iterable[Piece]) -> Rendered:
        """Ids of pieces. A token that spans two pieces belongs to the piece in which it starts."""
        out: list[tuple[int, Piece]] = []
        run: list[Piece] = []
        for piece in pieces:
            for part in _MARKER_PATTERN.split(piece.text) if piece.template else [piece.text]:
                if piece.template and part in self.marker_ids:
                    out += self._encode_run(run)
                    run = []
                    out.append((self.marker_ids[part], piece))
                elif part:
                    run.append(Piece(part, piece.kind, piece.template, piece.turn, piece.trained))
        out += self._encode_run(run)
        return Rendered(
            ids_T=tuple(number for number, _ in out),
            kinds_T=tuple(int(piece.kind) for _, piece in out),
            trained_T=tuple(piece.trained for _, piece in out),
            turns_T=tuple(piece.turn for _, piece in out),
        )

    def _encode_run(self, run: Sequence[Piece]) -> list[tuple[int, Piece]]:
        if not run:
            return []
        encoding = self._plain.encode("".join(p.text for p in run), add_special_tokens=False)
        owners = [piece for piece in run for _ in piece.text]
        return [(number, owners[start]) for number, (start, _) in zip(encoding.ids, encoding.offsets, strict=True)]

    def num_tokens(self, text: str) -> int:
        """Tokens of plain text."""
        return len(self._plain.encode(text, add_special_tokens=False).ids)

    def cut(self, text: str, max_tokens: int) -> tuple[str, bool]:
        """`text` with at most about `max_tokens` tokens: head and tail kept, the cut stated. Returns (text, was cut)."""
        encoding = self._plain.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= max_tokens:
            return text, False
        keep = max(max_tokens - 12, 2)
        head_end = encoding.offsets[keep // 2][0]
        tail_start = encoding.offsets[len(encoding.ids) - (keep - keep // 2)][0]
        note = f"\n[{len(encoding.ids) - keep} tokens cut]\n"
        return text[:head_end] + note + text[tail_start:], True

    def decode(self, ids_T: Sequence[int]) -> str:
        """Text of ids, markers included."""
        return str(self.tokenizer.decode(list(ids_T), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def segments(self, ids_T: Sequence[int], kinds_T: Sequence[int]) -> list[tuple[SegmentKind, str]]:
        """The text of each run of one kind, in order."""
        out: list[tuple[SegmentKind, list[int]]] = []
        for number, kind in zip(ids_T, kinds_T, strict=True):
            if not out or out[-1][0] != kind:
                out.append((SegmentKind(kind), []))
            out[-1][1].append(number)
        return [(kind, self.decode(ids)) for kind, ids in out]
