"""Zygotes that die, hosts that die, machines that cannot isolate."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from rollout.errors import InfrastructureError
from rollout.sandbox import DEFAULT_PRELOAD, IsolationError, Limits, Sandbox, Status, Tier
from rollout.sandbox.exchange import exchange
from rollout.sandbox.refusal import require_linux
from rollout.sandbox.wire import Kind, Request
from rollout.sandbox.worker import Worker

ROOT = Path(__file__).parents[3]
NOBODY = 65_534


def descendants(root: int) -> set[int]:
    """Living processes below `root`, zombies excluded."""
    parents = {pid: parent for pid, parent, state in _processes() if state != "Z"}
    found: set[int] = set()
    while grown := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= grown
    return found


def zombies(root: int) -> set[int]:
    """Processes below `root` whose end nobody has taken note of."""
    ours = descendants(root) | {root}
    return {pid for pid, parent, state in _processes() if state == "Z" and parent in ours}


def _processes() -> list[tuple[int, int, str]]:
    """Id, parent and state of each."""
    rows = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        rows.append((int(path.parent.name), int(parent), state))
    return rows


def eventually(condition, seconds: float = 30.0) -> bool:
    """Whether the condition holds within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def signal_all(pids: set[int], number: signal.Signals = signal.SIGKILL) -> None:
    """To each that still is: the process of a call may outlive its answer by a moment."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


MARKED = Limits(idle_s=600 + os.getpid() / 2**22)
"""Limits that no other sandbox has: they stand in the command line of its processes, whoever their parent is now."""


NUM_PROCESSES = 5
"""Of a worker with one session: the zygote, its two spare children, the keeper and its child."""


def _marked() -> set[int]:
    mark = f'"idle_s": {MARKED.idle_s}'.encode()
    found = set()
    for pid, _, _ in _processes():
        with suppress(FileNotFoundError, ProcessLookupError):
            if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


@pytest.fixture(params=[Tier.BWRAP, Tier.LANDLOCK])
def tier(request: pytest.FixtureRequest) -> Tier:
    return request.param


def test_closing_leaves_no_process(tier: Tier):
    before = descendants(os.getpid())
    sandbox = Sandbox(num_workers=4, tier=tier)
    session = sandbox.session()
    session.run("x = 1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: sandbox.run("import time\ntime.sleep(0.05)"), range(16)))
    assert len(descendants(os.getpid()) - before) >= 2
    sandbox.close()
    sandbox.close()
    assert descendants(os.getpid()) <= before
    with pytest.raises(ValueError, match="closed"):
        sandbox.run("1")


def test_a_call_whose_processes_are_killed_is_run_again(tier: Tier):
    """Each of them alone: bubblewrap's two, the zygote, the child that runs the call, the spare one."""
    with Sandbox(MARKED, num_workers=1, tier=tier) as sandbox, ThreadPoolExecutor(1) as pool:
        for number in range(6):
            call = pool.submit(sandbox.run, "import time\ntime.sleep(0.3)\nprint('answered')")
            time.sleep(0.15)
            running = sorted(_marked())
            signal_all({running[number % len(running)]})
            assert call.result(timeout=20).stdout == "answered\n"
    assert eventually(lambda: not _marked())


def test_a_session_whose_processes_are_killed_is_restored(tier: Tier):
    with Sandbox(MARKED, num_workers=1, tier=tier) as sandbox, sandbox.session(5) as session:
        drawn = session.run("import random\nx = random.random()\nx").stdout
        for _ in range(3):
            signal_all(_marked())
            assert session.run("x").stdout == drawn
        assert session.run("import time\nnow = time.time_ns()\nnow").status is Status.OK
        signal_all(_marked())
        with pytest.raises(InfrastructureError, match="do not run the same again"):
            session.run("now")


def test_a_session_that_ends_before_its_first_cell_was_not_corrupted_by_it():
    """In the tier whose processes can be ended by another signal than SIGKILL."""
    worker = Worker(MARKED, DEFAULT_PRELOAD, Tier.LANDLOCK)
    try:
        with worker.open_session() as channel:
            assert eventually(lambda: len(_marked()) == NUM_PROCESSES)
            os.kill(max(_marked()), signal.SIGTERM)
            assert eventually(lambda: len(_marked()) == NUM_PROCESSES - 2)
            with pytest.raises((OSError, InfrastructureError)):
                exchange(channel, Request(Kind.CELL, 0, 9), b"1", b"", MARKED)
    finally:
        worker.stop()


def test_no_session_is_opened_at_a_zygote_that_is_being_killed(tier: Tier):
    """Stopped, it takes what is sent, as one does whose end the kernel has not come to; the next try has a new one."""
    worker = Worker(MARKED, DEFAULT_PRELOAD, tier)
    try:
        worker.call(b"1", b"", seed=0, wall_s=9)
        signal_all(_marked(), signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            opened = pool.submit(worker.open_session)
            time.sleep(0.3)
            signal_all(_marked())
            with pytest.raises(InfrastructureError, match="lost its zygote"):
                opened.result(timeout=60)
        worker.open_session().close()
    finally:
        worker.stop()


def test_a_zygote_that_never_lives_is_an_infrastructure_error(tier: Tier):
    before = descendants(os.getpid())
    over = threading.Event()

    def keep_killing() -> None:
        while not over.wait(0.05):
            signal_all(descendants(os.getpid()) - before)

    with Sandbox(num_workers=1, tier=tier) as sandbox, ThreadPoolExecutor(1) as pool:
        killer = pool.submit(keep_killing)
        with pytest.raises(InfrastructureError):
            sandbox.run("import time\ntime.sleep(2)")
        over.set()
        killer.result()
        assert sandbox.run("1 + 1").stdout == "2\n"


def test_nothing_survives_a_killed_host(tier: Tier):
    code = (
        f"from rollout.sandbox import Sandbox, Tier\nsandbox = Sandbox(num_workers=1, tier=Tier({tier.value!r}))\n"
        "session = sandbox.session()\nsession.run('x = 1')\n"
        "print('up', flush=True)\nsandbox.run('import time; time.sleep(60)')"
    )
    host = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert host.stdout
    with host, host.stdout:
        assert host.stdout.readline() == b"up\n"
        assert eventually(lambda: len(descendants(host.pid)) >= 4)
        started = descendants(host.pid)
        host.kill()
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def test_a_forked_host_needs_a_sandbox_of_its_own():
    with Sandbox(num_workers=1) as sandbox:
        child = os.fork()
        if child == 0:
            try:
                sandbox.run("1")
            except ValueError as error:
                os._exit(7 if "each process" in str(error) else 1)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert sandbox.run("1").stdout == "1\n"


def test_a_zygote_outlives_the_thread_that_started_it():
    before = descendants(os.getpid())
    with Sandbox(num_workers=1) as sandbox:
        signal_all(descendants(os.getpid()) - before)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(sandbox.run, "1").result()
        zygote = min(descendants(os.getpid()) - before)
        assert sandbox.run("1").status is Status.OK
        assert min(descendants(os.getpid()) - before) == zygote


WITH_MANY_FILES = """
import os, resource, sys
from rollout.sandbox import Sandbox, Tier
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
files = [os.dup(0) for _ in range(1100)]
with Sandbox(num_workers=1, tier=Tier(sys.argv[1])) as sandbox, sandbox.session() as session:
    print(*[run("1").stdout for run in (sandbox.run, session.run) for _ in range(2)])
"""


def test_a_host_may_have_more_files_open_than_select_can_watch(tier: Tier):
    command = [sys.executable, "-c", WITH_MANY_FILES, tier]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split() == ["1"] * 4


WITH_FEW_FILES = """
import resource
from rollout.sandbox import IsolationError, Limits, Sandbox
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    Sandbox(Limits(num_files=100))
except IsolationError as error:
    print(error)
"""


def test_more_files_than_the_machine_allows_are_refused_by_name():
    said = subprocess.run([sys.executable, "-c", WITH_FEW_FILES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "num_files=100: a process may have at most 64 here" in said.stdout


def test_descriptors_that_others_of_the_user_send_do_not_count(tier: Tier):
    """The kernel refuses to send one more where the user has as many on their way as the sender may have open."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Sandbox(Limits(num_files=32), num_workers=1, tier=tier) as sandbox:
        for _ in range(50):
            socket.send_fds(ours, [b"x"], [ours.fileno()])
        assert sandbox.run("6 * 7").stdout == "42\n"
        with sandbox.session() as session:
            assert session.run("6 * 7").stdout == "42\n"


WITHOUT = """
import sys
from rollout.sandbox import IsolationError, Sandbox, seccomp
from rollout.sandbox.linux import PR_SET_NO_NEW_PRIVS, machine, prctl
names, error = sys.argv[1].split(), int(sys.argv[2])
refused = {machine().numbers[name]: seccomp.return_errno(error) for name in names}
prctl(PR_SET_NO_NEW_PRIVS, 1).make()
seccomp.installation(seccomp.assemble(machine(), refused, seccomp.RETURN_ALLOW)).make()
try:
    with Sandbox(num_workers=1) as sandbox:
        print(sandbox.tier, sandbox.run("6 * 7").stdout)
except IsolationError as error:
    print("refused:", error)
"""


def _on_a_poorer_kernel(missing: str, error: int) -> str:
    command = [sys.executable, "-c", WITHOUT, missing, str(error)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("missing", "named"), [("landlock_create_ruleset mount", "kernel >= 5.13"), ("seccomp", "seccomp")]
)
def test_without_an_indispensable_layer_it_refuses_to_start(missing: str, named: str):
    said = _on_a_poorer_kernel(missing, errno.ENOSYS)
    assert said.startswith("refused:")
    assert named in said


@pytest.mark.parametrize(
    ("module", "layer", "possible"),
    [
        ("child.py", "    cage.allow_list.make()\n", "make an internet socket"),
        ("isolation.py", "        _close_files()\n", "read /etc/passwd"),
        ("isolation.py", "    _limit(limits, base_bytes)\n", "bytearray"),
    ],
)
def test_the_start_up_probes_notice_a_layer_that_does_nothing(tmp_path: Path, module: str, layer: str, possible: str):
    shutil.copytree(ROOT / "rollout" / "sandbox", tmp_path / "rollout" / "sandbox")
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "rollout" / name, tmp_path / "rollout")
    weakened = tmp_path / "rollout" / "sandbox" / module
    source = weakened.read_text()
    assert source.count(layer) == 1
    weakened.write_text(source.replace(layer, f"{layer[: len(layer) - len(layer.lstrip())]}pass\n"))
    code = "from rollout.sandbox import Sandbox, Tier\nSandbox(num_workers=1, tier=Tier.LANDLOCK)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "IsolationError" in ended.stderr
    assert possible in ended.stderr.splitlines()[-1]


def test_without_namespaces_it_works_as_in_a_plain_container():
    assert _on_a_poorer_kernel("unshare mount", errno.EPERM) == "landlock 42\n\n"


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64"), ("win32", "AMD64")])
def test_elsewhere_one_message_says_what_to_use(system: str, machine: str):
    with pytest.raises(IsolationError, match=f"this is {system} on {machine}: use a Linux machine"):
        require_linux(system, machine)


def test_elsewhere_the_package_imports_so_that_the_message_is_seen():
    code = (
        "import socket, sys\nsys.modules['resource'] = None\ndel socket.SOCK_CLOEXEC\n"
        "from rollout.sandbox import Sandbox\nsys.platform = 'darwin'\nSandbox()"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "the sandbox needs Linux" in ended.stderr.splitlines()[-1]


AS_ORDINARY_USER = """
import json, sys
from rollout.sandbox import Limits, Sandbox, Tier
with Sandbox(Limits(wall_s=0.5), num_workers=2, tier=Tier(sys.argv[1])) as sandbox:
    print(json.dumps([sandbox.run(code).status for code in json.load(sys.stdin)]))
"""

ORDINARY_CALLS = {
    "import os; assert os.getuid() == 65534": Status.OK,
    "open('/etc/passwd')": Status.ERROR,
    "open('/tmp/x', 'w')": Status.ERROR,
    "import os; os.listdir('/etc/ssl')": Status.ERROR,
    "import os; os.fork()": Status.ERROR,
    "import os; os.kill(os.getppid(), 9)": Status.ERROR,
    "import threading; threading.Thread(target=int).start()": Status.OK,
    "import socket; socket.socket()": Status.ERROR,
    "while True: pass": Status.TIMEOUT,
    "bytearray(8 << 30)": Status.MEMORY,
    "while True: print(1)": Status.OUTPUT_LIMIT,
    "6 * 7": Status.OK,
}


def _interpreter_for_nobody() -> str:
    check = "import sys; assert sys.version_info >= (3, 11)"
    for interpreter in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([interpreter, "-c", check], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return interpreter
    pytest.skip("no Python >= 3.11 here that an ordinary user may run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; all other tests then run as one")
@pytest.mark.parametrize("tier", Tier)
def test_it_holds_for_an_ordinary_user(tier: Tier):
    ended = subprocess.run(
        [_interpreter_for_nobody(), "-c", AS_ORDINARY_USER, tier],
        input=json.dumps(list(ORDINARY_CALLS)),
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert dict(zip(ORDINARY_CALLS, json.loads(ended.stdout), strict=True)) == ORDINARY_CALLS


def test_limits_reach_the_zygote():
    with Sandbox(Limits(memory_bytes=32 * 2**20), num_workers=1) as sandbox:
        assert sandbox.run("len(bytearray(16 << 20))").status is Status.OK
        assert sandbox.run("len(bytearray(48 << 20))").status is Status.MEMORY
