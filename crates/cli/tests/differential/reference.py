"""Runs many command lines of the reference in one process, a fork each, and says how each of them ended.

Reads JSON on standard input: a list of {"directory", "home", "words"}. Writes JSON on standard output: a list of
{"status", "domain", "reason", "message", "stdout", "stderr"}, where domain, reason and message are those of the last
error that was raised.
"""

import json
import os
import sys
import tempfile
import traceback

# The reference remembers the last error only where this is set.
os.environ["BST_TEST_SUITE"] = "1"

from buildstream import _exceptions, _project, element, source  # noqa: E402,F401
from buildstream._frontend import app, cli  # noqa: E402,F401
from buildstream._loader import loader  # noqa: E402,F401


def written(value):
    name = getattr(value, "name", value)
    return name.lower().replace("_", "-") if isinstance(name, str) else None


def run(case):
    """Runs one command line in this process and describes the error that ended it."""
    os.chdir(case["directory"])
    os.environ["HOME"] = case["home"]
    os.environ["TMPDIR"] = case["home"]
    tempfile.tempdir = None
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        os.environ.pop(name, None)
    sys.argv = ["bst", "--no-colors", "--no-interactive", *case["words"]]
    status = 0
    try:
        cli(prog_name="bst", args=sys.argv[1:])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    error = _exceptions.get_last_exception() if status else None
    return {
        "status": status,
        "domain": written(getattr(error, "domain", None)),
        "reason": written(getattr(error, "reason", None)),
        "message": "\n".join(str(part) for part in (error, error.detail) if part) if error else None,
    }


def fork(case, scratch):
    """Runs one command line in a process of its own."""
    paths = [os.path.join(scratch, name) for name in ("stdout", "stderr", "result")]
    child = os.fork()
    if child == 0:
        try:
            for target, path in zip((1, 2), paths):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), target)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
            result = run(case)
            with open(paths[2], "w", encoding="utf-8") as file:
                json.dump(result, file)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    texts = []
    for path in paths[:2]:
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    try:
        with open(paths[2], encoding="utf-8") as file:
            result = json.load(file)
        os.unlink(paths[2])
    except FileNotFoundError:
        result = {"status": -1, "domain": None, "reason": "crashed", "message": texts[1]}
    return {**result, "stdout": texts[0], "stderr": texts[1]}


def main():
    cases = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as scratch:
        json.dump([fork(case, scratch) for case in cases], sys.stdout)


main()
