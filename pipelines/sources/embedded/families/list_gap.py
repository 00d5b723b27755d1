"""A short list in other words, and two questions about it in one."""

from pipelines.sources.embedded.draws import few
from pipelines.sources.embedded.phrasing import Family, Phrasing

LIST_GAP = Family(
    name="list_gap",
    scarce=True,
    phrasings=(
        Phrasing("Of {list}, which one is at the top?", few, lambda *v: max(v)),
        Phrasing("Of {list}, which one is at the bottom?", few, lambda *v: min(v)),
        Phrasing("{name} puts {list} {things} on one heap. How high is it?", few, lambda *v: sum(v)),
        Phrasing("How far is it from the smallest to the largest of {list}?", few, lambda *v: max(v) - min(v)),
        Phrasing("What is the sum of {list} without the largest?", few, lambda *v: sum(v) - max(v)),
    ),
)
