"""The pipe to bourn: one JSON value a line, in both directions.

The format is described in README.md of bourn's crate `pyhost`, and has a version. bourn sends a call, the host answers
it; there is one call at a time. Until it is answered the host may send notes and ask questions.
"""

import json
import os
import queue
import signal
import sys
import threading
from contextlib import contextmanager

VERSION = 3

_output = None
_lines = queue.SimpleQueue()
_sending = threading.Lock()
_silent = 0


def take_over():
    """Keeps the pipe for ourselves: what plugins and their tools print goes to standard error."""
    global _output
    source = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    _output = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    threading.Thread(target=_read, args=(source,), daemon=True).start()


def _read(source):
    for line in source:
        _lines.put(line)
    # bourn is gone, and there is nobody to tell: whatever we and our tools do is of no use any more.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def send(message):
    # Numbers that are no numbers would make a line that nobody can read.
    text = json.dumps(message, separators=(",", ":"), allow_nan=False)
    with _sending:
        _output.write(text)
        _output.write("\n")
        _output.flush()


def receive():
    return json.loads(_lines.get())


def ask(question, **arguments):
    """Asks bourn and waits for the answer."""
    send({"ask": question, **arguments})
    reply = receive()
    if "refused" in reply:
        raise _raised(reply["refused"])
    return reply["answer"]


def _raised(error):
    from .exceptions import BstError, ErrorDomain

    kind = BstError
    if error.get("domain") == "sandbox":
        from .sandbox import SandboxCommandError

        if error.get("reason") in ("command-failed", "missing-command"):
            kind = SandboxCommandError
    elif error.get("domain") == "virtual-fs":
        from .storage import DirectoryError

        kind = DirectoryError
    raised = kind(error["message"], detail=error.get("detail"), reason=error.get("reason"))
    raised.domain = {domain.name.lower().replace("_", "-"): domain for domain in ErrorDomain}.get(error.get("domain"))
    raised.collect = error.get("collect")
    raised.of_element = error.get("of-element", False)
    return raised


def note(kind, text, detail=None, **more):
    if not _silent:
        send({"note": kind, "text": str(text), "detail": None if detail is None else str(detail), **more})


@contextmanager
def silence():
    """Drops the messages within."""
    global _silent
    _silent += 1
    try:
        yield
    finally:
        _silent -= 1
