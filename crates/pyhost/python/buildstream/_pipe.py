"""The pipe to bourn: one JSON value a line, in both directions.

bourn sends {"call": OPERATION, ...}; the answer is {"done": RESULT} or {"failed": ERROR}. In between the host may send
{"note": KIND, ...}, which nobody answers, and {"ask": QUESTION, ...}, which bourn answers with {"answer": VALUE} or
{"refused": ERROR}. There is one call at a time.
"""

import json
import os
import sys

VERSION = 1

_input = None
_output = None


def take_over():
    """Keeps the pipe for ourselves: what plugins and their tools print goes to standard error."""
    global _input, _output
    _input = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    _output = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def send(message):
    _output.write(json.dumps(message, separators=(",", ":")))
    _output.write("\n")
    _output.flush()


def receive():
    line = _input.readline()
    if not line:
        # bourn is gone; there is nobody to tell.
        os._exit(0)
    return json.loads(line)


def ask(question, **arguments):
    """Asks bourn and waits for the answer."""
    send({"ask": question, **arguments})
    reply = receive()
    if "refused" in reply:
        from .exceptions import BstError

        error = reply["refused"]
        raise BstError(error["message"], detail=error.get("detail"), reason=error.get("reason"))
    return reply["answer"]


def note(kind, text, detail=None, **more):
    send({"note": kind, "text": str(text), "detail": None if detail is None else str(detail), **more})
