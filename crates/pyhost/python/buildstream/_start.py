"""How the process starts: fast, and without leaving anything beside the user's plugins."""

import importlib
import os
import sys

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

COMPILED = os.path.join(os.path.dirname(_OWN), "compiled")
"""Where the compiled form of plugins is kept."""

_INSTALLED = ("site-packages", "dist-packages")


def get_ready():
    _compile_elsewhere()
    if sys.flags.no_site:
        import builtins

        # As they are where installed packages are found from the beginning.
        builtins.exit = builtins.quit = sys.exit
        sys.meta_path.append(_Installed)


class _Installed:
    """Finds installed packages. Python looks for all of them when it starts, and runs code of some, which takes longer
    than everything else together. So bourn starts it without, and it looks when one is imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        find_installed()
        parent = name.rpartition(".")[0]
        if parent:
            # Parts of one package may be in several places, some of them just found.
            path = sys.modules[parent].__path__
        for finder in list(sys.meta_path):
            found = finder.find_spec(name, path, target)
            if found is not None:
                return found
        return None


def find_installed():
    """Makes installed packages known, if they are not."""
    if _Installed in sys.meta_path:
        sys.meta_path.remove(_Installed)
        import site

        from . import _watch

        # What packages do to every Python is not what a plugin looks at.
        with _watch.away():
            site.main()


_MARGIN = 2 * 10**9
"""How much older than its compiled form a plugin has to be, in nanoseconds: it may have been edited while Python read
it, and clocks of file systems are coarse."""


def _forget_older(source, compiled):
    """Removes a compiled form that may be of an earlier edition. Python compares size and whole seconds of when the
    content was changed, which two editions can have in common; when a file was changed at all is never set back."""
    try:
        if os.stat(compiled).st_mtime_ns < os.stat(source).st_ctime_ns + _MARGIN:
            os.unlink(compiled)
    except OSError:
        pass


def _compile_elsewhere():
    """Keeps the compiled form of what is neither ours nor installed in a directory of bourn's."""
    external = getattr(importlib, "_bootstrap_external", None)
    beside = getattr(external, "cache_from_source", None)
    if beside is None:
        # A Python that is made otherwise: better slow than a user's project with files of ours.
        sys.dont_write_bytecode = True
        return
    library = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
    own = _OWN + os.sep

    def cache_from_source(path, *rest, **more):
        path = os.fspath(path)
        known = path.startswith((own, library)) or any(name in path for name in _INSTALLED)
        if known:
            return beside(path, *rest, **more)
        compiled = beside(COMPILED + os.path.abspath(path), *rest, **more)
        _forget_older(path, compiled)
        return compiled

    external.cache_from_source = cache_from_source
