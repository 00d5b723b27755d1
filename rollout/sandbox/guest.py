"""Runs source as a notebook cell, inside a process that is already locked."""

import ast
import builtins
import linecache
import sys
import traceback
from io import TextIOWrapper
from types import ModuleType, TracebackType

from rollout.sandbox.wire import EXIT_ERROR, EXIT_MEMORY, EXIT_OK

FILE_NAME = "tool.py"
_MAX_FRAMES = 8
_REPORT_ENDS = 1000
"""Characters kept at either end of a report, whose message can hold a whole document."""


def run_cell(source: str) -> int:
    """Run as `__main__`, print the `repr` of a last expression, report an exception. Returns the exit code."""
    main = ModuleType("__main__", None)
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    sys.argv = [FILE_NAME]
    linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(keepends=True), FILE_NAME)
    streams = (sys.stdout, sys.stderr)
    ending = _Ending(main.__dict__)
    with ending:
        _execute(source, main.__dict__)
    for stream in streams:
        if not stream.closed:
            stream.flush()
    return ending.exit_code


def _execute(source: str, namespace: dict[str, object]) -> None:
    tree = ast.parse(source, FILE_NAME)
    echo = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    exec(compile(tree, FILE_NAME, "exec", dont_inherit=True), namespace)
    # a statement compiled as "single" hands its value to sys.displayhook, as at the prompt
    exec(compile(ast.Interactive(echo), FILE_NAME, "single", dont_inherit=True), namespace)


class _Ending:
    """The one boundary that turns any exception of the cell into an exit code and a short report."""

    def __init__(self, namespace: dict[str, object]) -> None:
        self.exit_code = EXIT_OK
        self._namespace = namespace

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, SystemExit):
            self.exit_code = _exit_code(error)
        elif kind and error:
            if isinstance(error, MemoryError):
                traceback.clear_frames(trace)
                self._namespace.clear()  # else there may be no room to say so
            self.exit_code = EXIT_MEMORY if isinstance(error, MemoryError) else EXIT_ERROR
            sys.stderr.write(_report(kind, error, trace))
        return True


def _exit_code(error: SystemExit) -> int:
    if error.code is None or error.code == 0:
        return EXIT_OK
    if not isinstance(error.code, int):
        sys.stderr.write(f"{error.code}\n")
    return EXIT_ERROR


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    report = traceback.TracebackException(kind, error, trace, compact=True)
    _keep_own_frames(report)
    text = "".join(report.format())
    for prefix in (sys.prefix, sys.base_prefix):
        text = text.replace(prefix, "<python>")
    return _middle_left_out(text)


def _middle_left_out(text: str) -> str:
    num_left_out = len(text) - 2 * _REPORT_ENDS
    if num_left_out <= 0:
        return text
    return f"{text[:_REPORT_ENDS]}\n[{num_left_out} characters left out]\n{text[-_REPORT_ENDS:]}"


def _keep_own_frames(report: traceback.TracebackException) -> None:
    report.stack[:] = [frame for frame in report.stack if frame.filename == FILE_NAME][-_MAX_FRAMES:]
    for linked in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if linked:
            _keep_own_frames(linked)


def prepare_streams() -> None:
    """Output that survives a kill line by line, and any text that Python can hold."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
