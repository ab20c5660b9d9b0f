"""Sandboxes: where elements are staged and commands are run."""

from contextlib import contextmanager

from .. import _pipe
from ..exceptions import SandboxError
from ..storage.directory import _SandboxDirectory


class SandboxCommandError(SandboxError):
    """A command that failed in a sandbox; `collect` is a directory that is kept nevertheless."""

    def __init__(self, message, *, detail=None, collect=None, reason="command-failed"):
        super().__init__(message, detail=detail, reason=reason)
        self.collect = collect


class _Batch:
    def __init__(self, read_only, collect):
        self.read_only = read_only
        self.collect = collect
        self.items = []


class Sandbox:
    """A root directory and the setting that commands see."""

    def __init__(self, element, number=0):
        self._number = number
        self._element = element
        self.__root = _SandboxDirectory(number)
        self.__environment = None
        self.__directory = None
        self.__batch = None

    def get_virtual_directory(self):
        return self.__root

    def set_environment(self, environment):
        self.__environment = environment
        self.__set(environment=list(environment.items()))

    def set_work_directory(self, directory):
        self.__directory = _absolute(directory)
        self.__set(directory=directory)

    def mark_directory(self, directory):
        self.__set(mark=_absolute(directory))

    def run(self, command, *, root_read_only=False, cwd=None, env=None, label=None):
        if not self._element.BST_RUN_COMMANDS:
            raise AssertionError(
                "{} says in BST_RUN_COMMANDS that it runs none, but runs a command".format(self._element)
            )
        arguments = [command] if isinstance(command, str) else list(command)
        environment = env if env is not None else self.__environment
        item = {
            "arguments": arguments,
            "label": label,
            "environment": list((environment or {}).items()),
            "directory": _absolute(cwd or self.__directory or "/"),
        }
        if self.__batch is None:
            return _pipe.ask("run", sandbox=self._number, command=item, read_only=root_read_only)
        self.__agree(root_read_only)
        self.__batch.items.append(item)
        return None

    @contextmanager
    def batch(self, *, root_read_only=False, label=None, collect=None):
        if self.__batch is not None:
            self.__agree(root_read_only)
            yield
            return
        self.__batch = batch = _Batch(root_read_only, collect)
        try:
            yield
        finally:
            self.__batch = None
        if batch.items:
            _pipe.ask(
                "batch", sandbox=self._number, items=batch.items, read_only=batch.read_only, collect=batch.collect
            )

    # What the framework calls.

    def _integrate(self, element):
        """The integration commands of a dependency, for which bourn has the environment."""
        if self.__batch is None:
            with self.batch():
                self._integrate(element)
            return
        self.__batch.items.append({"integrate": element})

    def _create_empty_file(self, name):
        self.__batch.items.append({"empty-file": name})

    def _clean_directory(self, path):
        if self.__batch is not None:
            self.__batch.items.append({"clean": path})

    def _create_subsandbox(self):
        return Sandbox(self._element, _pipe.ask("sandbox-create"))

    def __agree(self, read_only):
        if read_only != self.__batch.read_only:
            raise AssertionError("all commands of a batch agree on whether the root is read-only")

    def __set(self, **what):
        _pipe.ask("sandbox-set", sandbox=self._number, **what)


def _absolute(path):
    if not path.startswith("/"):
        raise AssertionError("`{}` is not absolute; directories of sandboxes are".format(path))
    return path
