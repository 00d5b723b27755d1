"""Text answers: exact, or after normalisation."""

import string
import unicodedata

from rollout.rewards.judgement import Judgement
from rollout.rewards.math import boxed

VERSION = "exact-1"
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, NFKC, without punctuation and articles, single spaces."""
    words = unicodedata.normalize("NFKC", text).lower().translate(_PUNCTUATION).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def judge_exact(answer: str, reference: str) -> Judgement:
    """Strict: the boxed answer (or else the whole text), stripped, is the reference. Lenient: after normalisation."""
    inside = boxed(answer)
    given = answer if inside is None else inside
    return Judgement(given.strip() == reference.strip(), normalise(given) == normalise(reference), VERSION)
