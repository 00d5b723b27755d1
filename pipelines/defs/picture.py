"""`python -m pipelines.defs.picture` draws the asset graph for the README; a test fails when the picture drifts from it."""

from pipelines.defs.jobs import ASSETS
from pipelines.viewer.graph import draw, write_svg

BACK = (("rl_checkpoint", "student_attempts"),)
"""A checkpoint registers as a new student, whose difficulty is measured in turn."""


def way() -> str:
    """The picture of the asset graph, as SVG."""
    names = {asset.key: asset.key.to_user_string() for asset in ASSETS}
    graph = {names[a.key]: [names[key] for key in names if key in a.asset_deps[a.key]] for a in ASSETS}
    return draw(graph, BACK)


if __name__ == "__main__":
    print(write_svg(way()))
