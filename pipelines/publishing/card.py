"""The card of a published dataset: README.md with the metadata that the hub reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from data_contracts import CONTRACT_VERSION
from pipelines.viewer.tables import markdown

FUNNEL = ("stage", "verdict", "reason")


@dataclass(frozen=True)
class Config:
    """One table of the folder."""

    name: str
    description: str
    splits: Mapping[str, str]
    """Split → pattern of the paths inside the folder."""
    num_rows: int


@dataclass(frozen=True)
class Provenance:
    """Where the data come from."""

    name: str
    licence: str
    """SPDX id."""
    recipe: str
    git_commit: str
    teachers: Sequence[str]
    students: Sequence[str]
    sources: Sequence[tuple[str, str]]
    """(source, licence) of the rows."""
    inputs: Mapping[str, str]
    """Asset → content hash."""


def card(provenance: Provenance, configs: Sequence[Config], funnel: pl.DataFrame) -> str:
    """The text of README.md. funnel: counts of decisions by FUNNEL."""
    parts = [
        _front_matter(provenance, configs),
        f"# {provenance.name}\n\nReal end-to-end tool-use trajectories with outcomes, decisions and token rows, made by "
        "toolpath: every row states its task, policy, source, licence and the decision on it.",
        "## Tables\n\n"
        + markdown(("config", "rows", "what"), [(c.name, f"{c.num_rows:,}", c.description) for c in configs]),
        "## Provenance\n\n" + markdown(("what", "value"), _facts(provenance)),
        "## Funnel\n\nEvery row that went into a filter came out as one decision (config `decisions`).\n\n"
        + markdown((*FUNNEL, "rows"), [tuple(map(str, row)) for row in funnel.rows()]),
        _LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


_LIMITS = """## Limits

- Which duplicates, near-duplicates and overlaps with evaluation items were looked for is a matter of the recipe
  (recipe.json); what was found stands in the funnel and in config `contamination`.
- `outcome` is the verdict of a programmatic verifier on the final answer; steps on the way are not judged.
- Rows of config `token_rows` fit one tokenizer only (column `tokenizer_id`)."""


def _front_matter(provenance: Provenance, configs: Sequence[Config]) -> str:
    """YAML; every value is written as JSON, which YAML reads."""
    lines = ["---", f"license: {json.dumps(provenance.licence)}", f"pretty_name: {json.dumps(provenance.name)}"]
    lines += ["task_categories:", "- text-generation", "tags:", "- tool-use", "- agent", "- toolpath", "configs:"]
    for position, config in enumerate(configs):
        lines.append(f"- config_name: {config.name}")
        lines += ["  default: true"] if position == 0 else []
        lines.append("  data_files:")
        for split, path in config.splits.items():
            lines += [f"  - split: {split}", f"    path: {json.dumps(path)}"]
    return "\n".join([*lines, "---"])


def _facts(provenance: Provenance) -> list[tuple[str, str]]:
    return [
        ("recipe", f"`{provenance.recipe}` (resolved: recipe.json)"),
        ("code", provenance.git_commit),
        ("contracts", f"version {CONTRACT_VERSION}"),
        ("teacher", ", ".join(provenance.teachers) or "none"),
        ("student", ", ".join(provenance.students) or "none"),
        *((f"source {source}", licence) for source, licence in provenance.sources),
        *((f"input {asset}", f"`{digest}`") for asset, digest in provenance.inputs.items()),
    ]
