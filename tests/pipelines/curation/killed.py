"""A selection in a process of its own that kills itself, as `kill -9` does, when it says a certain line.

python -m tests.pipelines.curation.killed FOLDER 1 "measure: shard 3 "

The number is that of processes; their ids stand in its last line.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

from pipelines.curation.workers import ScaleRecipe
from tests.pipelines.curation.test_at_scale import EVERYTHING, ROWS, TASKS, hashes, question


def main(root: Path, num_processes: int, last_words: str) -> None:
    """Select the rows of the test; without last words to the end."""

    def say(line: str) -> None:
        print(line, flush=True)
        if last_words and line.startswith(last_words):
            print(*(process.pid for process in multiprocessing.active_children()), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    print(*hashes(root, question(root, ROWS, TASKS, EVERYTHING, 23), ScaleRecipe(num_processes=num_processes), say))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
