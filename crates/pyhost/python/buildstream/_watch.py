"""What plugins look at: bourn remembers answers for as long as looking again would show the same."""

import os
import sys
from contextlib import contextmanager

from . import _start

# The files of Python itself change with its executable, which bourn looks at.
_LIBRARY = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_PACKAGES = ("site-packages", "dist-packages")

# What leads out of the file system.
_OUTSIDE = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "ctypes.dlopen")

_files = set()
_directories = set()
_places = set()
_told = set()
_outside = False
_watching = False
_hidden = []


def _note(where, path):
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    elif isinstance(path, os.PathLike):
        path = os.fspath(path)
    if isinstance(path, str) and path:
        where.add(os.path.abspath(path))


def _hook(event, arguments):
    global _outside
    if not _watching:
        return
    if event == "open":
        _note(_files, arguments[0])
    elif event in ("os.listdir", "os.scandir"):
        _note(_directories, arguments[0] if arguments and arguments[0] is not None else ".")
    elif event in _OUTSIDE:
        _outside = True


def _noting(function):
    def noting(path, *rest, **more):
        if _watching:
            _note(_places, path)
        return function(path, *rest, **more)

    return noting


def begin():
    """Gets ready to note what is looked at."""
    sys.addaudithook(_hook)
    for name in ("stat", "lstat", "readlink", "access"):
        function = getattr(os, name)
        noting = _noting(function)
        # shutil looks up there what a function can do.
        for able in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if function in able:
                able.add(noting)
        setattr(os, name, noting)


def watch(on):
    """Notes from now on what is looked at, or stops it."""
    global _watching
    _watching = on


@contextmanager
def away():
    """Notes nothing within."""
    global _watching
    was, _watching = _watching, False
    try:
        yield
    finally:
        _watching = was


def hide(directory):
    """Nothing below a directory is told of: it was made by this process, and goes with it."""
    _hidden.append(os.path.join(os.path.abspath(directory), ""))


def _is_ours(path):
    if path.startswith((_OWN, _COMPILED, *_hidden)) or os.path.join(path, "") in _hidden:
        return False
    return not path.startswith(_LIBRARY) or any(name in path for name in _PACKAGES)


_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_COMPILED = _start.COMPILED + os.sep


def seen():
    """What was looked at since this was asked last; nothing more is noted."""
    global _watching
    _watching = False
    for module in list(sys.modules.values()):
        # Only the compiled form may have been opened.
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            _files.add(os.path.abspath(path))
    new = {}
    for name, paths in (("files", _files), ("directories", _directories), ("places", _places)):
        new[name] = sorted(path for path in paths if (name, path) not in _told and _is_ours(path))
        _told.update((name, path) for path in paths)
        paths.clear()
    new["outside"] = _outside
    return new
