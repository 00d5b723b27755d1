"""A short list in other words."""

from pipelines.sources.embedded.draws import few
from pipelines.sources.embedded.phrasing import Family, Phrasing

LIST_WORDS = Family(
    name="list_words",
    scarce=True,
    phrasings=(
        Phrasing("Of {list}, which one is at the top?", few, lambda *v: max(v)),
        Phrasing("Of {list}, which one is at the bottom?", few, lambda *v: min(v)),
        Phrasing("{name} puts {list} {things} on one heap. How high is it?", few, lambda *v: sum(v)),
    ),
)
