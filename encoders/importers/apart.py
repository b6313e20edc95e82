"""Imports in a process of their own, with limits: a model that crashes, hangs or grows ends that process and costs one line."""

import os
import resource
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from encoders.errors import BundleError
from encoders.importers.free_memory import free_memory_bytes
from encoders.importers.publish import delete_unfinished

Imported = TypeVar("Imported")

_LEAST_MEMORY_BYTES = 1 << 30
_CPU_GRACE_S = 5  # between SIGXCPU, which is recognised, and the kernel's SIGKILL
# How ONNX Runtime, torch and a traceback say that an allocation failed.
_ALLOCATION_FAILED = ("bad_alloc", "allocate memory", "MemoryError")


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What an import may use: seconds, bytes of memory for each of its processes (0: what is free), bytes of one file."""

    time_s: float = 3_600  # a download and an export may be part of it
    memory_bytes: int = 0
    file_bytes: int = 8 << 30


def import_apart(
    importer: Callable[..., Imported], *sources: Any, out: Path, limits: ImportLimits | None = None, **options: Any
) -> Imported:
    """Call `importer(*sources, out=out, **options)` in a process of its own.

    `BundleError` where that process dies or reaches its limits; nothing of the bundle is left then.
    """
    limits = limits or ImportLimits()
    memory_bytes = limits.memory_bytes or max(_LEAST_MEMORY_BYTES, free_memory_bytes())
    # A fork would inherit the threads' locks of libraries that are loaded already.
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    call = partial(importer, *sources, out=out, **options)
    with tempfile.TemporaryDirectory() as scratch:
        process = context.Process(target=_import, args=(sending, call, limits, memory_bytes, scratch))
        _start_uninterrupted(process)
        try:
            sending.close()
            result = _result(receiving, process, limits, memory_bytes)
        finally:
            _kill(process)
            delete_unfinished(out, process.pid)
    if isinstance(result, BundleError):
        raise result
    imported: Imported = result
    return imported


def _import(
    sending: Connection, call: Callable[[], Any], limits: ImportLimits, memory_bytes: int, scratch: str
) -> None:
    """What the process does: send what the call returns, or the `BundleError` that it raises."""
    os.environ["TMPDIR"] = tempfile.tempdir = scratch  # the caller deletes it, however this process ends
    os.setpgid(0, 0)  # the processes that an importer starts are killed with it
    Thread(target=_end_with_parent, daemon=True).start()
    _limit(resource.RLIMIT_CPU, round(limits.time_s * (os.cpu_count() or 1)) + 1, grace=_CPU_GRACE_S)
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        result = call()
    except (BundleError, MemoryError) as error:
        result = BundleError(_memory_refusal(memory_bytes)) if _lacks_memory(error) else error
    sending.send(result)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


def _limit(kind: int, limit: int, grace: int = 0) -> None:
    """Set a limit of this process and of those that it starts, unless a lower one is set."""
    _, most = resource.getrlimit(kind)
    if most == resource.RLIM_INFINITY or most >= limit + grace:
        resource.setrlimit(kind, (limit, limit + grace))


def _lacks_memory(error: BaseException | None) -> bool:
    if error is None:
        return False
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _ALLOCATION_FAILED):
        return True
    return _lacks_memory(error.__cause__)


def _start_uninterrupted(process: BaseProcess) -> None:
    """Start the process with SIGINT blocked: Ctrl-C is for its parent, which ends it."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _result(receiving: Connection, process: BaseProcess, limits: ImportLimits, memory_bytes: int) -> Any:
    """What the process sends; `BundleError` where it sends nothing."""
    if not receiving.poll(limits.time_s):
        return BundleError(_time_refusal(limits))
    with suppress(EOFError):
        return receiving.recv()
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        return BundleError(_time_refusal(limits))
    return BundleError(
        f"The model ended the process that tried it ({_ending(process)}): it needs more than {_gib(memory_bytes)} of "
        "memory, is damaged, or meets a fault of ONNX Runtime. Nothing was imported."
    )


def _kill(process: BaseProcess) -> None:
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # where it did not live to make its group
    process.join()


def _time_refusal(limits: ImportLimits) -> str:
    return f"The import took more than {limits.time_s / 60:g} minutes and was ended. Nothing was imported."


def _memory_refusal(memory_bytes: int) -> str:
    return f"The import needs more than the {_gib(memory_bytes)} of memory that it may use. Nothing was imported."


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _ending(process: BaseProcess) -> str:
    status = process.exitcode or 0
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
