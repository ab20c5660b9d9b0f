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


def get_umask():
    """The umask of this process."""
    mask = os.umask(0o777)
    os.umask(mask)
    return mask


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
    os.close(descriptor)
    try:
        with open(temporary, mode, buffering, encoding, errors, newline, closefd, opener) as file:
            file.real_filename = filename
            yield file
        mask = get_umask()
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, filename)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
