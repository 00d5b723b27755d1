"""Runs source as notebook cells, inside a process that is already locked."""

import _thread
import ast
import builtins
import fcntl
import gc
import linecache
import os
import socket
import sys
import threading
import traceback
from io import TextIOWrapper
from os import _exit
from types import ModuleType, TracebackType
from typing import BinaryIO

from rollout.sandbox.seeding import start_streams
from rollout.sandbox.wire import EXIT_ERROR, EXIT_MEMORY, EXIT_OK, NUM_DESCRIPTORS, Cell, Done, receive, send

_ONLY_FILE = "tool.py"
_MAX_FRAMES = 8
_REPORT_ENDS = 1000
"""Characters kept at either end of a report, whose message can hold a whole document."""
_STANDARD = (0, 1, 2)


_PREPARED_SEED = 0


def prepare() -> None:
    """Before any fork: make what a child would make alike."""
    _open_streams()
    start_streams(_PREPARED_SEED)
    _practise()


_SOURCE = "print()\nNone"
_NUM_PRACTICES = 20
"""The interpreter specialises what runs again; a child would do so anew."""


def _practise() -> None:
    """Serve some cells for nobody."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    source = os.memfd_create("practice")
    os.write(source, _SOURCE.encode())
    with ours, theirs:
        for _ in range(_NUM_PRACTICES):
            send(ours, Cell(False, _PREPARED_SEED, b"").pack(), [source, 0, 1, 2])
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, len(_SOURCE))
    os.close(source)
    gc.disable()


def rehearse() -> None:
    """Run a cell for nobody, so that the memory which every cell writes to is this process's own before one comes."""
    Notebook().run(_SOURCE, is_last=False)


def serve(control: socket.socket, max_bytes: int) -> None:
    """Run the cells that come, up to the one that is the last: with that the process ends."""
    notebook = None
    while True:
        message, received = receive(control)
        if len(received) != NUM_DESCRIPTORS:  # nobody is left to say anything
            return
        cell = Cell.unpack(message)
        source = _redirect(received, max_bytes)
        if cell.is_last:
            control.close()
        if notebook is None:
            gc.enable()
            if cell.seed != _PREPARED_SEED:
                start_streams(cell.seed)
            notebook = Notebook()
        exit_code = notebook.run(source, is_last=cell.is_last)
        if cell.is_last:
            _exit(exit_code)
        _open_streams()
        control.send(Done(cell.token, exit_code).pack())


def _redirect(received: list[int], max_bytes: int) -> str:
    """Make the descriptors the standard ones, of which an earlier cell may have closed any; returns the source."""
    moved = [_above_standard(descriptor) for descriptor in received]
    code, *standard = moved
    source = os.pread(code, max_bytes, 0).decode()
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    for descriptor in moved:
        os.close(descriptor)
    return source


def _above_standard(descriptor: int) -> int:
    """Out of the way: what lies lower will be replaced."""
    return descriptor if descriptor > _STANDARD[-1] else fcntl.fcntl(descriptor, fcntl.F_DUPFD, _STANDARD[-1] + 1)


class Notebook:
    """A `__main__` module in which cells run one after the other."""

    def __init__(self) -> None:
        main = ModuleType("__main__", None)
        main.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = main
        self._namespace = main.__dict__
        self._files: list[str] = []

    def run(self, source: str, *, is_last: bool) -> int:
        """Run a cell, print the `repr` of a last expression, report an exception. Returns the exit code."""
        file = _ONLY_FILE if is_last else f"cell_{len(self._files) + 1}.py"
        self._files.append(file)
        sys.argv = [file]
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        streams = (sys.stdout, sys.stderr)
        ending = _Ending(self._namespace, self._files, is_last=is_last)
        with ending:
            _execute(source, file, self._namespace)
        if is_last:
            with ending:
                _join_threads()
        for stream in streams:
            if not stream.closed:
                stream.flush()
        return ending.exit_code


def _open_streams() -> None:
    """Output that survives a kill line by line, and any text that Python can hold."""
    stdin = TextIOWrapper(_standard(0), encoding="utf-8", errors="replace")
    for name, stream in (("stdin", stdin), ("stdout", _text(1)), ("stderr", _text(2))):
        vars(sys).update({name: stream, f"__{name}__": stream})


def _text(number: int) -> TextIOWrapper:
    return TextIOWrapper(_standard(number), encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _standard(number: int) -> BinaryIO:
    return open(number, "wb" if number else "rb", closefd=False)


def _join_threads() -> None:
    """As the interpreter does at its end, which ours never reaches: wait for threads that are no daemons."""
    if _thread._count():  # asks nothing of `builtins`, which the code may have changed
        vars(threading)["_shutdown"]()


def _execute(source: str, file: str, namespace: dict[str, object]) -> None:
    tree = ast.parse(source, file)
    echo = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    exec(compile(tree, file, "exec", dont_inherit=True), namespace)
    # a statement compiled as "single" hands its value to sys.displayhook, as at the prompt
    exec(compile(ast.Interactive(echo), file, "single", dont_inherit=True), namespace)


class _Ending:
    """The one boundary that turns any exception of the cell into an exit code and a short report."""

    def __init__(self, namespace: dict[str, object], files: list[str], *, is_last: bool) -> None:
        self.exit_code = EXIT_OK
        self._namespace, self._files, self._is_last = namespace, files, is_last

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, SystemExit):
            self.exit_code = _exit_code(error)
        elif kind and error:
            if isinstance(error, MemoryError):
                traceback.clear_frames(trace)
                if self._is_last:
                    self._namespace.clear()  # else there may be no room to say so
            self.exit_code = EXIT_MEMORY if isinstance(error, MemoryError) else EXIT_ERROR
            sys.stderr.write(_report(kind, error, trace, self._files))
        return True


def _exit_code(error: SystemExit) -> int:
    if error.code is None or error.code == 0:
        return EXIT_OK
    if not isinstance(error.code, int):
        sys.stderr.write(f"{error.code}\n")
    return EXIT_ERROR


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None, files: list[str]) -> str:
    report = traceback.TracebackException(kind, error, trace, compact=True)
    _keep_own_frames(report, files)
    text = "".join(report.format())
    for prefix in (sys.prefix, sys.base_prefix):
        text = text.replace(prefix, "<python>")
    return _middle_left_out(text)


def _middle_left_out(text: str) -> str:
    num_left_out = len(text) - 2 * _REPORT_ENDS
    if num_left_out <= 0:
        return text
    return f"{text[:_REPORT_ENDS]}\n[{num_left_out} characters left out]\n{text[-_REPORT_ENDS:]}"


def _keep_own_frames(report: traceback.TracebackException, files: list[str]) -> None:
    report.stack[:] = [frame for frame in report.stack if frame.filename in files][-_MAX_FRAMES:]
    for linked in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if linked:
            _keep_own_frames(linked, files)
