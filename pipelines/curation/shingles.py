"""Texts as arrays of hashed units (words or characters) and of their n-grams: no Python loop over texts or words.

A word is a longest run of letters and digits. ASCII letters count in lower case; characters outside ASCII count as they
are (no Unicode case folding, no normal form), save four blocks that separate words as ASCII punctuation does: U+0080 to
U+00BF, U+2000 to U+203F, U+2200 to U+22FF (mathematical operators) and U+3000 to U+303F. Texts written without spaces
between words have words as long as clauses: take characters for them.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.curation.arrays import Bytes, Hashes, Mask, Positions

BATCH_BYTES = 1 << 20
CHUNK, MAX_CHUNKS = 8, 8
"""Bytes of a word that are hashed at a time, and how many times; the rest of a longer word is hashed by blake2b."""
WORD = re.compile("[a-z0-9\u00c0-\u1fff\u2040-\u21ff\u2300-\u2fff\u3040-\U0010ffff]+")
SEPARATOR = 0
_PLAIN = bytes(
    ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else (b if b >= 128 else SEPARATOR) for b in range(256)
)
_BASE = 0xD6E8FEB86659FD93


@dataclass(frozen=True)
class Units:
    """Hashes of the units of B texts, one after the other."""

    hashes_T: Hashes
    offsets_B: Positions
    """B + 1 numbers: text b has the units offsets_B[b] .. offsets_B[b + 1]."""

    @property
    def lengths_B(self) -> Positions:
        """Number of units per text."""
        return np.diff(self.offsets_B)

    @property
    def rows_T(self) -> Positions:
        """The text that each unit belongs to."""
        return np.repeat(np.arange(len(self.offsets_B) - 1), self.lengths_B)


def plain_words(text: str) -> list[str]:
    """The words of one text as strings: what `words` hashes, slow and obvious."""
    return WORD.findall(text.encode().lower().decode())


def words(texts: pl.Series) -> Units:
    """The words of each text (null: none), as 64-bit hashes that depend on nothing but the word."""
    data, bounds_B = _plain_bytes(texts)
    inside = data != SEPARATOR
    starts_T = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]]))
    return Units(_hash_words(data, starts_T), np.searchsorted(starts_T, bounds_B).astype(np.int64))


def characters(texts: pl.Series) -> Units:
    """The characters of each text (null: none) in lower case, each run of white space as one blank."""
    plain = texts.fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    codes_T = np.frombuffer("".join(plain).encode("utf-32-le"), np.uint32)
    offsets_B = np.concatenate([[0], np.cumsum(plain.str.len_chars().to_numpy())]).astype(np.int64)
    return Units(mix(codes_T.astype(np.uint64) + np.uint64(1)), offsets_B)


def ngrams(units: Units, n: int) -> Units:
    """Hashes of all runs of `n` units of a text, in order; a text of fewer units gives one hash of them all.

    Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n-grams of {n} units do not exist: take n >= 1")
    hashes_T, lengths_B, starts_B = units.hashes_T, units.lengths_B, units.offsets_B[:-1]
    found_T = rolling(hashes_T, n)
    whole_T = np.ones(len(hashes_T), bool)
    for k in range(1, n):
        whole_T[units.offsets_B[1:][lengths_B >= k] - k] = False
    short = (lengths_B > 0) & (lengths_B < n)
    found_T[starts_B[short]] = _whole(hashes_T, starts_B[short], lengths_B[short])
    whole_T[starts_B[short]] = True
    counts_B = np.where(short, 1, np.maximum(lengths_B - n + 1, 0))
    return Units(mix(found_T[whole_T]), np.concatenate([[0], np.cumsum(counts_B)]))


def rolling(hashes_T: Hashes, n: int) -> Hashes:
    """Hash of the run of `n` units that starts at each place; near the end, of what is left."""
    found_T = hashes_T.copy()
    for k in range(1, n):
        extend(found_T, hashes_T, k)
    return found_T


def extend(found_T: Hashes, hashes_T: Hashes, k: int) -> None:
    """Make the hashes of runs of k units those of runs of k + 1, in place, where k units follow."""
    inside = found_T[: max(len(hashes_T) - k, 0)]
    inside *= np.uint64(_BASE)
    inside += hashes_T[k:]


def mix(values: Hashes) -> Hashes:
    """Spread every bit over the whole word (the finaliser of splitmix64, Steele et al. 2014)."""
    mixed = values >> np.uint64(30)
    mixed ^= values
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def batches(texts: pl.Series, max_bytes: int = BATCH_BYTES) -> Iterator[pl.Series]:
    """The texts in their order, cut so that each part has at most `max_bytes` of UTF-8, or one text.

    Small parts bound the memory (about 10 times the bytes) and are faster: their arrays stay in the cache.
    """
    sizes_B = texts.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    ends_B, start = np.cumsum(sizes_B), 0
    while start < len(texts):
        before = ends_B[start] - sizes_B[start]
        stop = max(start + 1, int(np.searchsorted(ends_B, before + max_bytes, side="right")))
        yield texts[start:stop]
        start = stop


def _whole(hashes_T: Hashes, starts_S: Positions, lengths_S: Positions) -> Hashes:
    """Hash of all units of each short text."""
    found_S = hashes_T[starts_S]
    for k in range(1, int(lengths_S.max(initial=0))):
        longer = lengths_S > k
        found_S[longer] = found_S[longer] * np.uint64(_BASE) + hashes_T[starts_S[longer] + k]
    return found_S


def _plain_bytes(texts: pl.Series) -> tuple[Bytes, Positions]:
    """All texts as one run of bytes, lower case, separators zero, with at least 8 of them at the end; and the B + 1
    bounds of the texts in it."""
    lines = texts.fill_null("") + "\n"
    raw = bytearray(lines.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2] or b"")
    data = np.frombuffer(raw.translate(_PLAIN) + bytes(CHUNK), np.uint8)
    _separate_at_blocks(data)
    return data, np.concatenate([[0], np.cumsum(lines.str.len_bytes().to_numpy())]).astype(np.int64)


def _separate_at_blocks(data: Bytes) -> None:
    """Zero the characters outside ASCII that separate words."""
    two = np.flatnonzero(data == 0xC2)
    data[two] = data[two + 1] = SEPARATOR
    wide = np.flatnonzero((data == 0xE2) | (data == 0xE3))
    lead, second = data[wide], data[wide + 1]
    operators = (lead == 0xE2) & (second >= 0x88) & (second <= 0x8B)
    three = wide[(second == 0x80) | operators]
    data[three] = data[three + 1] = data[three + 2] = SEPARATOR


def _hash_words(data: Bytes, starts_T: Positions) -> Hashes:
    """Fold each word, 8 bytes at a time, into 64 bits."""
    chunks = np.ndarray((len(data) - CHUNK + 1,), "<u8", data, strides=(1,))
    values_T, ended_T = _until_separator(chunks[starts_T])
    hashes_T, open_T = mix(values_T), np.flatnonzero(~ended_T)
    at_T = starts_T[open_T]
    for _ in range(1, MAX_CHUNKS):
        at_T += CHUNK
        values_T, ended_T = _until_separator(chunks[at_T])
        hashes_T[open_T] = mix(hashes_T[open_T] + values_T)
        open_T, at_T = open_T[~ended_T], at_T[~ended_T]
        if not len(open_T):
            break
    for word, at in zip(open_T.tolist(), (at_T + CHUNK).tolist(), strict=True):
        hashes_T[word] ^= _hash_rest(data[at : starts_T[word + 1] if word + 1 < len(starts_T) else len(data)])
    return hashes_T


def _hash_rest(data: Bytes) -> np.uint64:
    """Hash of all that stands before the first separator."""
    rest, _, _ = data.tobytes().partition(bytes([SEPARATOR]))
    return np.uint64(int.from_bytes(hashlib.blake2b(rest, digest_size=CHUNK).digest(), "little"))


def _until_separator(chunks_W: Hashes) -> tuple[Hashes, Mask]:
    """Each chunk with its first zero byte and all after it cleared, and whether it has one.

    The lowest set bit of (x - 01..01) & ~x & 80..80 marks the first zero byte (Mycroft 1987).
    """
    zeros = chunks_W - np.uint64(0x0101010101010101)
    zeros &= ~chunks_W
    zeros &= np.uint64(0x8080808080808080)
    before = zeros - np.uint64(1)
    before &= ~zeros  # all bits below the lowest set one; all 64 where there is none
    return chunks_W & before, zeros != 0
