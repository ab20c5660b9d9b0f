"""Functions that plugins use.

Modules that few plugins need are imported where they are used: starting up is most of what a plugin costs.
"""

import os
import string
from contextlib import contextmanager

from .exceptions import BstError, ErrorDomain

BST_ARBITRARY_TIMESTAMP = 1321009871
"""The modification time of files whose own does not matter."""

_ALIAS_SEPARATOR = ":"
_URL_CHARACTERS = string.digits + string.ascii_letters + "%_"


class UtilError(BstError):
    default_domain = ErrorDomain.UTIL

    def __init__(self, message, reason=None):
        super().__init__(message, reason=reason)


class ProgramNotFoundError(BstError):
    default_domain = ErrorDomain.PROG_NOT_FOUND

    def __init__(self, message, reason=None):
        super().__init__(message, reason=reason)


class DirectoryExistsError(OSError):
    """A directory stands where one should go."""


def get_host_tool(name):
    """The path of a program of the host."""
    import shutil

    path = shutil.which(name)
    if path is None:
        raise ProgramNotFoundError("Did not find '{}' in PATH: install the package that has it".format(name))
    return path


def get_bst_version():
    """Major and minor version of the plugin API."""
    return 2, 8


def _ask_for_umask():
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# Asked for once: who asks has to change it for a moment, for all threads.
_UMASK = _ask_for_umask()


def get_umask():
    """The umask that this process was started with."""
    return _UMASK


def url_directory_name(url):
    """A file name that stands for an URL."""
    return "".join(c if c in _URL_CHARACTERS else "_" for c in url)


def sha256sum(filename):
    """The SHA-256 of a file, in hexadecimal."""
    import hashlib

    digest = hashlib.sha256()
    try:
        with open(filename, "rb") as content:
            for chunk in iter(lambda: content.read(1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        raise UtilError("Failed to get a checksum of file '{}': {}".format(filename, error)) from error
    return digest.hexdigest()


@contextmanager
def save_file_atomic(
    filename, mode="w", *, buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None, tempdir=None
):
    """A file that appears under its name when it is complete, or not at all."""
    import tempfile

    directory = tempdir or os.path.dirname(filename) or "."
    descriptor, temporary = tempfile.mkstemp(dir=directory)
    # Before anything is written: whoever writes may want another mode.
    os.fchmod(descriptor, 0o666 & ~_UMASK)
    os.close(descriptor)
    try:
        with open(temporary, mode, buffering, encoding, errors, newline, closefd, opener) as file:
            file.real_filename = filename
            yield file
        os.replace(temporary, filename)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


_URI_SCHEMES = ["http", "https", "ftp", "file", "git", "sftp", "ssh"]


class FileListResult:
    """What happened to the files of a list."""

    def __init__(self):
        self.overwritten = []
        self.ignored = []
        self.failed_attributes = []
        self.files_written = []


def list_relative_paths(directory):
    """The paths of what a directory holds: its files and links sorted, then each directory followed by its own."""
    for place, directories, files in os.walk(directory):
        files.extend(name for name in directories if os.path.islink(os.path.join(place, name)))
        directories.sort()
        relative = os.path.relpath(place, directory)
        base = "" if relative == "." else relative
        if base:
            yield base
        for name in sorted(files):
            yield os.path.join(base, name)


def glob(paths, pattern):
    """Those paths that match: `*` and `?` stay within a name, `**` does not."""
    import re

    expression = re.compile(_regular_expression("/" + pattern.lstrip("/")), re.DOTALL)
    for path in paths:
        if expression.match("/" + path.lstrip("/")):
            yield path


def _regular_expression(pattern):
    import re

    out, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern[at : at + 1] == "*":
            at += 1
            out.append(".*")
        elif character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            start = at + 1 if pattern[at : at + 1] == "!" else at
            end = pattern.find("]", start + 1)
            if end < 0:
                out.append(re.escape(character))
                continue
            inside = pattern[start:end].replace("\\", "\\\\")
            if start > at:
                inside = "^" + inside
            elif inside.startswith("^"):
                inside = "\\" + inside
            out.append("[" + inside + "]")
            at = end + 1
        else:
            out.append(re.escape(character))
    return "".join(out) + r"\Z"


def safe_copy(src, dest, *, copystat=True, result=None):
    """Copies a file over whatever was there, without touching other names of it."""
    import shutil

    try:
        if os.path.lexists(dest):
            os.unlink(dest)
        shutil.copyfile(src, dest)
    except OSError as error:
        raise UtilError("Failed to copy '{} -> {}': {}".format(src, dest, error)) from error
    if copystat:
        try:
            shutil.copystat(src, dest)
        except PermissionError:
            if result is not None:
                result.failed_attributes.append(dest)


def safe_link(src, dest, *, result=None):
    """Links a file over whatever was there; copies it to another file system."""
    try:
        if os.path.lexists(dest):
            os.unlink(dest)
        os.link(src, dest)
    except OSError as error:
        import errno

        if error.errno not in (errno.EXDEV, errno.EPERM):
            raise UtilError("Failed to link '{} -> {}': {}".format(src, dest, error)) from error
        safe_copy(src, dest, result=result)


def safe_remove(path):
    """Removes a file or an empty directory; False when the directory is not empty."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        import errno

        if error.errno == errno.ENOTEMPTY:
            return False
        raise UtilError("Failed to remove '{}': {}".format(path, error)) from error
    return True


def copy_files(src, dest, *, filter_callback=None, ignore_missing=False, report_written=False):
    """Copies what one directory holds into another."""
    return _transfer(src, dest, safe_copy, filter_callback, ignore_missing, report_written)


def link_files(src, dest, *, filter_callback=None, ignore_missing=False, report_written=False):
    """Links what one directory holds into another."""
    return _transfer(src, dest, safe_link, filter_callback, ignore_missing, report_written)


def _transfer(src, dest, one, wanted, ignore_missing, report):
    result = FileListResult()
    modes = []
    paths = list_relative_paths(src) if wanted is None else filter(wanted, list_relative_paths(src))
    for path in list(paths):
        os.makedirs(dest, exist_ok=True)
        target = os.path.join(dest, path)
        _make_parents(src, dest, path, modes)
        if report:
            result.files_written.append(path)
        if os.path.lexists(target) and not os.path.isdir(target):
            result.overwritten.append(path)
        try:
            mode = os.lstat(os.path.join(src, path)).st_mode
        except FileNotFoundError:
            if ignore_missing:
                continue
            raise UtilError("Source file is missing: {}".format(os.path.join(src, path))) from None
        _transfer_one(os.path.join(src, path), target, mode, one, result, path, modes)
    # Last of all, since a directory that is read-only takes nothing more.
    for directory, mode in modes:
        os.chmod(directory, mode)
    return result


def _transfer_one(source, target, mode, one, result, path, modes):
    import stat

    if stat.S_ISDIR(mode):
        _make_directory(target)
        modes.append((target, stat.S_IMODE(mode)))
    elif stat.S_ISLNK(mode) or stat.S_ISREG(mode):
        if not safe_remove(target):
            result.ignored.append(path)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
        else:
            one(source, target, result=result)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target, stat.S_IMODE(mode))
    elif not stat.S_ISSOCK(mode):
        raise UtilError("{} is neither a file, a directory nor a link, and cannot be copied".format(source))


def _make_parents(src, dest, path, modes):
    """Makes the directories that a path lies in, as they are where it comes from, and writable for the moment."""
    import stat

    place = ""
    for name in path.split(os.sep)[:-1]:
        place = os.path.join(place, name)
        target = os.path.join(dest, place)
        new = not os.path.lexists(target)
        _make_directory(target)
        if new or not os.access(target, os.W_OK):
            os.chmod(target, 0o755)
            modes.append((target, stat.S_IMODE(os.stat(os.path.join(src, place)).st_mode)))


def _make_directory(target):
    if not os.path.lexists(target):
        os.mkdir(target)
    elif os.path.islink(target) or not os.path.isdir(target):
        raise UtilError("{} is not a directory, but one has to go there".format(target))


def move_atomic(source, destination, *, ensure_parents=True):
    """Moves a file or directory to a place on the same file system, whole or not at all."""
    if ensure_parents:
        os.makedirs(os.path.dirname(str(destination)), exist_ok=True)
    try:
        os.rename(source, destination)
    except OSError as error:
        import errno

        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DirectoryExistsError(*error.args) from error
        raise


def guess_version(string, *, pattern=None):
    """The version that a text holds: the groups of the match with the most of them, joined by dots."""
    import re

    if pattern is None:
        pattern = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
    best = []
    for match in pattern.finditer(string):
        groups = [group for group in match.groups() if group is not None] if pattern.groups else [match.group(0)]
        if len(groups) > len(best):
            best = groups
    return ".".join(best) if best else None
