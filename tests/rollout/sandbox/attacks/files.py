"""Classes 22 to 30: reading and changing what belongs to the host."""

from rollout.sandbox import Status
from tests.rollout.sandbox.attacks.abuse import DENIED, REFUSED, RUNS, Abuse, denied, ends, in_namespaces, on_boxes
from tests.rollout.sandbox.attacks.processes import raw

BAD_TARGET = f"{REFUSED}|Invalid argument|not permitted|Bad file descriptor"
MISSING = ends(Status.ERROR, stdout="", complaint="FileNotFoundError|NotADirectoryError")


def reads(number: int, path: str) -> Abuse:
    """Opening a file, named by an expression."""
    return denied(number, f"read {path}", f"open({path}, 'rb').read(64)")


SECRETS = (
    Abuse(22, "print the environment", "import os, sys\nprint(os.environ, sys.argv, sys.orig_argv, sys.path)", RUNS),
    Abuse(
        22,
        "the environment of the C library",
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.getenv.restype = ctypes.c_char_p\n"
        "print([libc.getenv(name) for name in (b'API_TOKEN', b'PATH', b'HOME')])",
        RUNS,
    ),
    Abuse(
        22,
        "the first environment block",
        "import ctypes\nstart = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')\n"
        "names, index = [], 0\nwhile start[index]: names.append(start[index]); index += 1\nprint(names)",
        RUNS,
    ),
)

HOST_FILES = (
    *(
        reads(23, repr(path))
        for path in (
            "/etc/passwd",
            "/etc/shadow",
            "/etc/hostname",
            "/etc/machine-id",
            "/root/.ssh/id_rsa",
            "/root/.bashrc",
            "/sys/kernel/notes",
            "/sys/class/net",
            "/proc/cmdline",
            "/proc/kallsyms",
            "/var/run/docker.sock",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "/var/log/dpkg.log",
            "/boot/config",
        )
    ),
    *(
        reads(23, path)
        for path in (
            "CANARY",
            "HOUSE + '/pyproject.toml'",
            "HOUSE + '/README.md'",
            "HOUSE + '/pipelines/__init__.py'",
            "os.path.expanduser('~/.netrc')",
        )
    ),
    # bubblewrap must show the fork server its interpreter, which is public; Landlock hides it again
    Abuse(23, "read sys.executable", "import sys\nopen(sys.executable, 'rb').read(64)\nNone", DENIED, on_boxes(RUNS)),
    denied(23, "read the fork server", "open(HOUSE + '/rollout/sandbox/zygote.py', 'rb').read(64)"),
    denied(23, "list the fork server's package", "os.listdir(HOUSE + '/rollout')"),
    denied(23, "list the fork server's modules", "os.listdir(HOUSE + '/rollout/sandbox')"),
    denied(
        23,
        "import the fork server",
        "sys.path.insert(0, HOUSE)\nimport rollout.sandbox",
        f"ModuleNotFoundError|{REFUSED}",
    ),
    denied(23, "list the directory of a file of the host", "os.listdir(os.path.dirname(CANARY))"),
    denied(
        23,
        "walk the machine",
        "found = [path for path, _, names in os.walk('/') if 'canary' in names]\nif not found: raise PermissionError",
    ),
    *(
        reads(24, f"f'/proc/{{{who}}}/{name}'")
        for who in ("os.getpid()", "os.getppid()", "1", "VICTIM")
        for name in ("mem", "environ", "maps", "fd/0", "root")
    ),
    denied(24, "list what is running", "os.listdir('/proc')"),
)

WRITES = (
    *(
        denied(25, f"write {path}", f"open({path}, 'ab')", f"{REFUSED}|IsADirectoryError|Text file busy")
        for path in (
            "os.__file__",
            "sys.executable",
            "CANARY",
            "HOUSE + '/rollout/sandbox/zygote.py'",
            "'/etc/ld.so.preload'",
            "'/dev/shm/toolpath-attack'",
            "'/proc/self/oom_score_adj'",
            "os.path.dirname(CANARY) + '/new'",
            "os.path.dirname(os.__file__) + '/sitecustomize.py'",
        )
    ),
    denied(25, "bytecode of a library", "import py_compile; py_compile.compile(os.__file__, doraise=True)"),
    Abuse(
        25,
        "a file of its own",
        "with open('result.txt', 'w') as file: file.write('kept')\nprint('escaped' * 0)",
        DENIED,
        on_boxes(RUNS),
    ),
    Abuse(
        25,
        "a file in the shared temporary directory",
        "with open('/tmp/toolpath-attack', 'w') as file: file.write('kept')",
        DENIED,
        on_boxes(ends(Status.OK, Status.ERROR)),
    ),
)

DETOURS = (
    denied(26, "up and down again", "open(os.path.dirname(os.__file__) + '/..' * 12 + '/etc/passwd')"),
    denied(
        26,
        "relative to a library",
        "here = os.open(os.path.dirname(os.__file__), os.O_RDONLY)\nos.open('../' * 12 + 'etc/passwd', os.O_RDONLY, dir_fd=here)",
    ),
    denied(26, "the root of another process", "open('/proc/1/root/etc/passwd')"),
    denied(26, "its own root by /proc", "open('/proc/self/root/etc/passwd')"),
    denied(26, "a link", "os.symlink('/etc/passwd', 'link')\nopen('link')"),
    denied(26, "a hard link", "os.link(CANARY, 'link')", f"{REFUSED}|Invalid cross-device link"),
    denied(26, "a link to a library's directory", "os.symlink(os.path.dirname(CANARY), 'up')\nos.listdir('up')"),
    denied(
        26,
        "a handle without rights",
        "handle = os.open(os.path.dirname(CANARY), os.O_PATH)\nos.open('canary', os.O_RDONLY, dir_fd=handle)",
    ),
    denied(26, "a nameless file", "os.open(os.path.dirname(CANARY), os.O_TMPFILE | os.O_WRONLY)"),
)

CHANGES = tuple(
    denied(27, f"{name} {target}", call.format(target=target), BAD_TARGET)
    for target in ("CANARY", "os.__file__")
    for name, call in {
        "chmod": "os.chmod({target}, 0o777)",
        "chown": "os.chown({target}, os.getuid(), os.getgid())",
        "utime": "os.utime({target}, (0, 0))",
        "setxattr": "os.setxattr({target}, 'user.x', b'1')",
        "truncate": "os.truncate({target}, 0)",
        "open to truncate": "os.open({target}, os.O_RDONLY | os.O_TRUNC)",
        "fchmod": "os.fchmod(os.open({target}, os.O_RDONLY), 0o777)",
        "unlink": "os.unlink({target})",
        "rename": "os.rename({target}, {target} + '2')",
        "copy over": "import json, shutil; shutil.copyfile(json.__file__, {target})",
        "lock": "import fcntl; fcntl.flock(os.open({target}, os.O_RDONLY), fcntl.LOCK_EX)\nraise PermissionError",
    }.items()
)

DEVICES = (
    *(
        denied(28, f"open {path}", f"os.open({path!r}, os.O_RDWR)", f"{REFUSED}|No such device")
        for path in (
            "/dev/sda",
            "/dev/vda",
            "/dev/kmsg",
            "/dev/kvm",
            "/dev/nvidia0",
            "/dev/fuse",
            "/dev/tty",
            "/dev/mem",
            "/dev/ptmx",
            "/dev/net/tun",
            "/dev/loop0",
            "/dev/console",
        )
    ),
    denied(28, "make a device", "os.mknod('device', 0o20666, os.makedev(1, 1))"),
    denied(28, "make a named pipe of the host", "os.mkfifo(os.path.dirname(CANARY) + '/fifo')"),
    raw(28, "type into a terminal", 16, 29, "0, 0x5412, b'x'"),
)

ROOTS = (
    denied(29, "chroot", "os.chroot('/')"),
    raw(29, "pivot_root", 155, 41, "b'.', b'.'"),
    denied(29, "enter a directory of the host", "os.chdir(os.path.dirname(CANARY))"),
    denied(29, "enter it by descriptor", "os.fchdir(os.open(os.path.dirname(CANARY), os.O_PATH))"),
    denied(
        29,
        "leave by chroot",
        "os.mkdir('cage'); os.chroot('cage'); os.chdir('../' * 12); os.chroot('.')\nos.stat(CANARY)",
    ),
)

METADATA = (
    # in a tier without a file system of its own, names, sizes and times of the host can be asked for: docs/attacks.md says so
    Abuse(
        30,
        "stat of a file of the host",
        "import os\nprint(os.stat(CANARY).st_size)",
        ends(Status.OK, stdout="5\n"),
        in_namespaces(MISSING),
    ),
    denied(30, "attributes of a file of the host", "os.getxattr(CANARY, 'user.secret')"),
)

ABUSES = (*SECRETS, *HOST_FILES, *WRITES, *DETOURS, *CHANGES, *DEVICES, *ROOTS, *METADATA)
