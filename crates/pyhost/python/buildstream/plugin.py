"""What element and source plugins have in common."""

import os
import sys
from contextlib import contextmanager

from . import _pipe, utils
from .exceptions import ImplError, LoadError, LoadErrorReason, PluginError
from .types import CoreWarnings

_CORE_WARNINGS = [value for key, value in vars(CoreWarnings).items() if not key.startswith("_")]


class Plugin:
    """The base of all plugins."""

    _ROLE = "plugin"
    BST_MIN_VERSION = None
    BST_PLUGIN_DEPRECATED = False
    BST_PLUGIN_DEPRECATION_MESSAGE = None

    def __init__(self, given):
        self._given = given
        self.name = given["name"]
        self.__provenance = given.get("provenance")

    def __str__(self):
        if self.__provenance is None:
            return "{} [{}]".format(self.name, self.get_kind())
        return "{} {} at {}".format(self.get_kind(), self._ROLE, self.__provenance)

    # What plugins implement.

    def configure(self, node):
        raise ImplError("{} does not implement configure()".format(self))

    def preflight(self):
        raise ImplError("{} does not implement preflight()".format(self))

    def get_unique_key(self):
        raise ImplError("{} does not implement get_unique_key()".format(self))

    # What plugins call.

    def get_kind(self):
        return self._given["kind"]

    def node_get_project_path(self, node, *, check_is_file=False, check_is_dir=False):
        """A path inside of the project, checked."""
        project = os.path.realpath(self._given["project-directory"])
        text = node.as_str()
        where = node.get_provenance()
        if os.path.isabs(text):
            raise LoadError(
                "{}: `{}` is absolute; write a path relative to the project".format(where, text),
                LoadErrorReason.PROJ_PATH_INVALID,
            )
        full = os.path.join(project, text)
        real = os.path.realpath(os.path.dirname(full)) if os.path.islink(full) else os.path.realpath(full)
        if os.path.commonpath([project, real]) != project:
            raise LoadError(
                "{}: `{}` leads outside of the project".format(where, text), LoadErrorReason.PROJ_PATH_INVALID
            )
        if os.path.islink(full):
            raise LoadError(
                "{}: `{}` is a symbolic link".format(where, text), LoadErrorReason.PROJ_PATH_INVALID_KIND
            )
        if not os.path.exists(full):
            raise LoadError("{}: there is no `{}`".format(where, text), LoadErrorReason.MISSING_FILE)
        is_directory, is_file = os.path.isdir(full), os.path.isfile(full)
        if not is_directory and not is_file:
            raise LoadError(
                "{}: `{}` is neither a file nor a directory".format(where, text),
                LoadErrorReason.PROJ_PATH_INVALID_KIND,
            )
        if check_is_file and not is_file:
            raise LoadError("{}: `{}` is not a file".format(where, text), LoadErrorReason.PROJ_PATH_INVALID_KIND)
        if check_is_dir and not is_directory:
            raise LoadError(
                "{}: `{}` is not a directory".format(where, text), LoadErrorReason.PROJ_PATH_INVALID_KIND
            )
        return text

    def debug(self, brief, *, detail=None):
        _pipe.note("debug", brief, detail)

    def status(self, brief, *, detail=None):
        _pipe.note("status", brief, detail)

    def info(self, brief, *, detail=None):
        _pipe.note("info", brief, detail)

    def log(self, brief, *, detail=None):
        _pipe.note("log", brief, detail)

    def warn(self, brief, *, detail=None, warning_token=None):
        if warning_token:
            if warning_token not in _CORE_WARNINGS:
                warning_token = "{}:{}".format(self.get_kind(), warning_token)
            brief = "[{}]: {}".format(warning_token, brief)
            if warning_token in self._given["fatal-warnings"]:
                raise PluginError("{}\n{}".format(brief, detail or ""), reason=warning_token)
        _pipe.note("warn", brief, detail)

    @contextmanager
    def timed_activity(self, activity_name, *, detail=None, silent_nested=False):
        _pipe.note("start", activity_name, detail, silent=silent_nested)
        try:
            yield
        except BaseException:
            _pipe.note("failure", activity_name)
            raise
        _pipe.note("success", activity_name)

    @contextmanager
    def _output_file(self):
        """What is written here ends in the log of the job."""
        yield sys.stderr

    def blocking_activity(self, target, args, activity_name, *, detail=None, silent_nested=False):
        # The host serves one job at a time, so there is no scheduler that blocking could starve.
        with self.timed_activity(activity_name, detail=detail, silent_nested=silent_nested):
            return target(*args)

    def call(
        self, args, fail=None, fail_temporarily=False, cwd=None, env=None, stdin=None, stdout=None, stderr=None
    ):
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        status, _ = self.__run(args, fail, fail_temporarily, cwd, env, streams)
        return status

    def check_output(self, args, fail=None, fail_temporarily=False, cwd=None, env=None, stdin=None, stderr=None):
        import subprocess

        streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": stderr}
        return self.__run(args, fail, fail_temporarily, cwd, env, streams)

    # What the framework calls.

    def _get_provenance(self):
        return self.__provenance or ""

    def _get_project(self):
        return _Project(self._given)

    def __run(self, args, fail, fail_temporarily, cwd, env, streams):
        import subprocess

        words = [args] if isinstance(args, (str, bytes, os.PathLike)) else args
        text = " ".join(map(os.fsdecode, words))
        sys.stderr.write("Running host command {}: {}\n".format(cwd or os.getcwd(), text))
        sys.stderr.flush()
        self.status("Running host command", detail=text)
        if streams["stdin"] is None:
            streams["stdin"] = subprocess.DEVNULL
        with subprocess.Popen(args, cwd=cwd, env=env, universal_newlines=True, **streams) as process:
            output, _ = process.communicate()
        if process.returncode and fail:
            raise PluginError("{}: {}".format(self, fail), temporary=fail_temporarily)
        return process.returncode, output


class _Project:
    """What plugins look up of their project although no interface offers it."""

    def __init__(self, given):
        self.name = given["project-name"]
        self.directory = given["project-directory"]


__all__ = ["CoreWarnings", "Plugin", "utils"]
