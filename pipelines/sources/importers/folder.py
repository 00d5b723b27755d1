"""A folder of logs, row by row: each becomes an attempt or a quarantine decision, whatever is in it."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.ids import canonical_json
from pipelines.sources.importers.agentdojo import AgentDojoImporter
from pipelines.sources.importers.gsm8k_openai_solutions import Gsm8kSolutionsImporter
from pipelines.sources.importers.intercode import InterCodeImporter
from pipelines.sources.importers.lines import Line, read_lines
from pipelines.sources.importers.mathcoder import MathCoderImporter
from pipelines.sources.importers.miniswe import MiniSweImporter
from pipelines.sources.importers.mint import MintImporter
from pipelines.sources.importers.nemo_gym import NemoGymImporter
from pipelines.sources.importers.recording import Imported, Importer, Place, Recording, as_attempt
from pipelines.sources.importers.repeats import Repeats
from pipelines.sources.importers.smolagents import SmolAgentsImporter
from pipelines.sources.importers.tau1 import Tau1Importer
from pipelines.sources.importers.tau2 import Tau2Importer
from pipelines.sources.importers.toolbench import ToolBenchImporter
from pipelines.sources.importers.tora import ToraImporter
from pipelines.sources.importers.verifiers import VerifiersImporter

STAGE = "recorded_attempts"
FILTER_VERSION = "import-1"
SUFFIXES = (".jsonl", ".jsonl.gz")
IMPORTERS: tuple[Importer, ...] = (
    AgentDojoImporter(),
    Gsm8kSolutionsImporter(),
    InterCodeImporter(),
    MathCoderImporter(),
    MintImporter(),
    MiniSweImporter(),
    NemoGymImporter(),
    SmolAgentsImporter(),
    Tau1Importer(),
    Tau2Importer(),
    ToolBenchImporter(),
    ToraImporter(),
    VerifiersImporter(),
)


def read_folder(folder: Path, importers: Sequence[Importer] = IMPORTERS) -> Iterator[Imported | Decision]:
    """Every row of every *.jsonl and *.jsonl.gz under `folder`, files by name, rows in order.

    The importer is the one whose name a folder on the way bears, else the one that recognises the row.
    A row holds one attempt, or several whose places are `file:line#part`. A row that cannot be read is a decision
    QUARANTINE with `file:line` and the reason; the rest goes on.
    Raises FileNotFoundError for a folder that does not exist, ValueError for one without such files.
    """
    files = _log_files(folder)
    repeats = Repeats()
    for path in files:
        name = path.relative_to(folder).as_posix()
        for line in read_lines(path):
            yield from _read_line(line, Place(name, line.number, folder), importers, repeats)


def _log_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the folder that holds the logs (*.jsonl, *.jsonl.gz)")
    files = [path for path in folder.rglob("*") if path.name.endswith(SUFFIXES) and path.is_file()]
    if not files:
        raise ValueError(f"{folder} holds no *.jsonl or *.jsonl.gz: give the folder that holds the logs")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _read_line(
    line: Line, place: Place, importers: Sequence[Importer], repeats: Repeats
) -> Sequence[Imported | Decision]:
    importer = _named(place, importers)
    source = importer.name if importer else ""
    if line.row is None:
        return [_quarantine(place, Reason.UNREADABLE, line.problem, source)]
    importer = importer or next((i for i in importers if i.recognises(line.row)), None)
    if importer is None:
        keys = ", ".join(sorted(line.row)[:12])
        return [_quarantine(place, Reason.CONTRACT, f"no importer knows a row with the keys {keys}", source)]
    return _import(line.row, place, importer, repeats)


def _named(place: Place, importers: Sequence[Importer]) -> Importer | None:
    folders = PurePosixPath(place.file).parts[:-1]
    return next((importer for part in reversed(folders) for importer in importers if importer.name == part), None)


def _import(row: dict[str, Any], place: Place, importer: Importer, repeats: Repeats) -> Sequence[Imported | Decision]:
    try:
        recordings = importer.read(row, place)
    except ValidationError as error:
        return [_quarantine(place, Reason.CONTRACT, _first_errors(error), importer.name)]
    except ValueError as error:
        return [_quarantine(place, Reason.CONTRACT, str(error), importer.name)]
    except RecursionError:
        return [_quarantine(place, Reason.CONTRACT, "values nested too deeply to read", importer.name)]
    return [_numbered(recording, place, repeats) for recording in recordings]


def _numbered(recording: Recording, place: Place, repeats: Repeats) -> Imported:
    index, kind = repeats.place(recording)
    return Imported(recording.task, as_attempt(recording, index, kind, place))


def _first_errors(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:3])


def _quarantine(place: Place, reason: Reason, problem: str, source: str) -> Decision:
    return Decision(
        subject=place.ref,
        stage=STAGE,
        verdict=Verdict.QUARANTINE,
        reason=reason,
        evidence=canonical_json({"problem": problem[:500]}),
        filter_version=FILTER_VERSION,
        source=source,
    )
