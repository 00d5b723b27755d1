"""What a verifier says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Judgement:
    """None: the verifier itself failed."""

    strict: bool | None
    lenient: bool | None
    version: str
