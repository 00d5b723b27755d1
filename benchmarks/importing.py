"""How fast recorded logs become attempts: MB of JSON text per CPU second of one core, by source and over all.

    python benchmarks/importing.py --recorded logs/trajectories --runs 3

A source is a folder below --recorded. Unpacking the logs counts, as do parsing, checks and the records; writing them does
not. Of several runs the fastest counts, since whatever else the machine does only slows them.
"""

import argparse
import gzip
import time
from pathlib import Path

from pipelines.sources.importers import read_folder
from pipelines.sources.importers.files import log_files


def text_bytes(path: Path) -> int:
    """Size of a log, unpacked."""
    if path.suffix != ".gz":
        return path.stat().st_size
    with gzip.open(path) as file:
        return sum(len(line) for line in file)


def import_s(folder: Path) -> tuple[float, int]:
    """CPU seconds of reading every row of a folder, and how many there are."""
    start = time.process_time()
    num_rows = sum(1 for _ in read_folder(folder))
    return time.process_time() - start, num_rows


def line(name: str, num_rows: int, num_bytes: int, seconds: float) -> str:
    """A row of the table."""
    return f"| {name} | {num_rows:,} | {num_bytes / 1e6:.1f} | {seconds:.2f} | {num_bytes / 1e6 / seconds:.1f} |"


def main() -> None:
    """Read each source, print a row for each and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    print("| source | rows | MB | CPU s | MB/s |\n|---|---|---|---|---|")
    total_rows = total_bytes = 0
    total_s = 0.0
    for folder in sorted(path for path in args.recorded.iterdir() if path.is_dir()):
        seconds, num_rows = min(import_s(folder) for _ in range(args.runs))
        num_bytes = sum(map(text_bytes, log_files(folder)))
        print(line(folder.name, num_rows, num_bytes, seconds), flush=True)
        total_rows, total_bytes, total_s = total_rows + num_rows, total_bytes + num_bytes, total_s + seconds
    print(line("all", total_rows, total_bytes, total_s))


if __name__ == "__main__":
    main()
