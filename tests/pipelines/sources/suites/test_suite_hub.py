"""Suites from a hub: the real client of `datasets`, against a server on this machine."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub import COMMIT, hub

CARD = "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: test\n    path: main/test-*\n---\n"
CODE = """
import sys
from pipelines.sources.suites import SUITES
from pipelines.sources.suites.loading import found_revision, load_questions
for name in sys.argv[1:]:
    print(found_revision(SUITES[name]))
    for question in load_questions(SUITES[name]):
        print("|".join((question.name, question.text, question.verifier.name, question.verifier.reference)))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    gsm8k, live = folder / "openai" / "gsm8k", folder / "livecodebench" / "code_generation_lite"
    (gsm8k / "main").mkdir(parents=True)
    live.mkdir(parents=True)
    rows = [{"question": "6 * 7 * 25?", "answer": "So it is\n#### 1,050"}]
    pq.write_table(pa.Table.from_pylist(rows), gsm8k / "main" / "test-00000-of-00001.parquet")
    (gsm8k / "README.md").write_text(CARD)
    tests = json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}])
    row = {"question_content": "Add one.", "question_id": "a", "public_test_cases": tests, "private_test_cases": "[]"}
    (live / "test6.jsonl").write_text(json.dumps(row) + "\n")
    (live / "code_generation_lite.py").write_text("raise SystemExit('a script of the hub ran')\n")
    with hub(folder) as server:
        yield server


def loaded(server, home, *suites: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its settings when it is imported."""
    env = os.environ | {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", CODE, *suites]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=200)


def test_suites_come_from_the_hub_by_config_and_split_or_by_file_where_it_holds_a_script(served, tmp_path):
    done = loaded(served, tmp_path, "gsm8k", "livecodebench_v6")
    assert done.stdout.splitlines() == [
        COMMIT,
        "1|6 * 7 * 25?|math|1050",
        COMMIT,
        'a|Add one.|code|{"programs":[{"public":true,"stdin":"1","stdout":"2"}]}',
    ], done.stderr
    assert any(f"resolve/{COMMIT}/main/test-" in path for path in served.paths)


def test_a_suite_that_the_hub_does_not_give_is_one_message(served, tmp_path):
    done = loaded(served, tmp_path, "mbpp")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "or give a local copy" in last
