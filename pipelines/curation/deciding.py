"""The second pass: what the rules on sets find, kept rule by rule, so that a run that was killed goes on behind the last."""

from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.storage import write_bytes
from pipelines.curation.arrays import Positions
from pipelines.curation.facts import Facts
from pipelines.curation.groups import GROUP_RULES, GroupRule, break_group_rules
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import finding_table


def group_findings(facts: Facts, recipe: SftDataRecipe, folder: Path) -> pl.DataFrame:
    """What all rules on sets find, as `selection.finding_table`."""
    passed_R, found = facts.passed(), [finding_table({})]
    for rule in GROUP_RULES:
        table = _stored(rule, facts, passed_R, recipe, folder / f"findings-{rule.name}.arrow")
        passed_R = passed_R[~np.isin(passed_R, table["row"].to_numpy())]
        found.append(table)
    return pl.concat(found).sort("row")


def _stored(rule: GroupRule, facts: Facts, passed_R: Positions, recipe: SftDataRecipe, path: Path) -> pl.DataFrame:
    if not path.exists():
        data = BytesIO()
        finding_table(break_group_rules(facts, passed_R, recipe, [rule])).write_ipc(data)
        write_bytes(path, data.getvalue())
    return pl.read_ipc(path)
