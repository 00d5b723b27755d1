"""One question about a short list."""

from pipelines.sources.embedded.draws import few
from pipelines.sources.embedded.phrasing import Family, Phrasing

LIST_QUESTION = Family(
    name="list_question",
    scarce=False,
    phrasings=(
        Phrasing("{name} counts {list} {things}. What is the sum?", few, lambda *v: sum(v)),
        Phrasing("{name} counts {list} {things}. What is the largest?", few, lambda *v: max(v)),
        Phrasing("{name} counts {list} {things}. What is the smallest?", few, lambda *v: min(v)),
        Phrasing("The list is {list}. What is the largest number?", few, lambda *v: max(v)),
        Phrasing("The list is {list}. What is the smallest number?", few, lambda *v: min(v)),
    ),
)
