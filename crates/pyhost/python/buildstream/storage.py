"""Directories of sandboxes."""

import os
import tarfile
from contextlib import contextmanager
from io import BytesIO

from . import _pipe
from .exceptions import BstError, ErrorDomain
from .types import FastEnum
from .utils import BST_ARBITRARY_TIMESTAMP, FileListResult

_MODES = ("r", "rb", "w", "wb", "w+", "w+b", "x", "xb", "x+", "x+b")


class DirectoryError(BstError):
    """Something that is not there, or is something else."""

    def __init__(self, message, reason=None, *, detail=None):
        super().__init__(message, detail=detail, domain=ErrorDomain.VIRTUAL_FS, reason=reason)


class FileType(FastEnum):
    """What is at a path."""

    DIRECTORY = 1
    REGULAR_FILE = 2
    SYMLINK = 3

    def __str__(self):
        return self.name.lower().replace("_", " ")


class FileStat:
    """What there is to know of a file without reading it."""

    def __init__(self, file_type, *, executable=False, size=0, mtime=BST_ARBITRARY_TIMESTAMP):
        self.file_type = file_type
        self.executable = executable
        self.size = size
        self.mtime = mtime

    def __eq__(self, other):
        if not isinstance(other, FileStat):
            return NotImplemented
        return vars(self) == vars(other)


class Directory:
    """A directory. Paths are relative to it."""

    # What each sort of directory does in its own way.

    def __iter__(self):
        raise NotImplementedError()

    def __len__(self):
        return sum(1 for _ in self)

    def open_directory(self, path, *, create=False, follow_symlinks=False):
        raise NotImplementedError()

    def import_files(self, external_pathspec, *, filter_callback=None, collect_result=True):
        raise NotImplementedError()

    def import_single_file(self, external_pathspec):
        raise NotImplementedError()

    def list_relative_paths(self):
        raise NotImplementedError()

    def stat(self, path, *, follow_symlinks=False):
        raise NotImplementedError()

    def open_file(self, path, *, mode="r"):
        raise NotImplementedError()

    def file_digest(self, path):
        raise NotImplementedError()

    def readlink(self, path):
        raise NotImplementedError()

    def remove(self, path, *, recursive=False):
        raise NotImplementedError()

    def rename(self, src, dest):
        raise NotImplementedError()

    # What follows from that.

    def exists(self, path, *, follow_symlinks=False):
        return self.__type(path, follow_symlinks) is not None

    def isfile(self, path, *, follow_symlinks=False):
        return self.__type(path, follow_symlinks) is FileType.REGULAR_FILE

    def isdir(self, path, *, follow_symlinks=False):
        return self.__type(path, follow_symlinks) is FileType.DIRECTORY

    def islink(self, path, *, follow_symlinks=False):
        return self.__type(path, follow_symlinks) is FileType.SYMLINK

    def __type(self, path, follow_symlinks):
        try:
            return self.stat(path, follow_symlinks=follow_symlinks).file_type
        except DirectoryError:
            return None

    def export_to_tar(self, tarfile, destination_dir, mtime=BST_ARBITRARY_TIMESTAMP):
        for name in sorted(self):
            self.__add_to_tar(tarfile, name, os.path.join(destination_dir, name), mtime)

    def __add_to_tar(self, archive, name, place, mtime):
        about = self.stat(name)
        entry = tarfile.TarInfo(place)
        entry.mtime = mtime
        if about.file_type is FileType.DIRECTORY:
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
            self.open_directory(name).export_to_tar(archive, place, mtime)
        elif about.file_type is FileType.SYMLINK:
            entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, self.readlink(name)
            archive.addfile(entry, BytesIO())
        else:
            entry.size = about.size
            if about.executable:
                entry.mode |= 0o111
            with self.open_file(name, mode="rb") as content:
                archive.addfile(entry, content)


def _checked(path):
    if path.startswith("/"):
        raise ValueError("`{}` is absolute; paths are relative to their directory".format(path))
    return path


class _SandboxDirectory(Directory):
    """A directory of a sandbox: bourn has the tree, this has a number and a path."""

    def __init__(self, sandbox, path=""):
        self._sandbox = sandbox
        self._path = path

    def __str__(self):
        return "[sandbox]:/{}".format(self._path)

    def __iter__(self):
        return iter(self.__ask("tree-list", ""))

    def __len__(self):
        return len(self.__ask("tree-list", ""))

    def __bool__(self):
        return len(self) > 0

    def __eq__(self, other):
        if not isinstance(other, _SandboxDirectory):
            return NotImplemented
        return (self._sandbox, self._path) == (other._sandbox, other._path)

    def __hash__(self):
        return hash((self._sandbox, self._path))

    def open_directory(self, path, *, create=False, follow_symlinks=False):
        found = self.__ask("tree-directory", path, create=create, follow=follow_symlinks)
        return _SandboxDirectory(self._sandbox, found)

    def import_files(self, external_pathspec, *, filter_callback=None, collect_result=True):
        if isinstance(external_pathspec, _SandboxDirectory):
            source = {"sandbox": external_pathspec._sandbox, "path": external_pathspec._path}
        elif isinstance(external_pathspec, _HostDirectory):
            source = {"host": external_pathspec._path}
        else:
            source = {"host": os.path.abspath(external_pathspec)}
        keep = None
        if filter_callback is not None:
            keep = [path for path in _paths_of(external_pathspec) if filter_callback(path)]
        done = self.__ask("tree-import", "", source=source, keep=keep)
        if not collect_result:
            return None
        result = FileListResult()
        result.files_written = done["written"]
        result.overwritten = done["overwritten"]
        result.ignored = done["ignored"]
        return result

    def import_single_file(self, external_pathspec):
        result = FileListResult()
        name = os.path.basename(external_pathspec)
        result.overwritten = [name] if self.exists(name) else []
        executable = os.access(external_pathspec, os.X_OK)
        self.__ask("tree-write", name, file=os.path.abspath(external_pathspec), executable=executable)
        result.files_written = [external_pathspec]
        return result

    def list_relative_paths(self):
        return iter(self.__ask("tree-paths", ""))

    def stat(self, path, *, follow_symlinks=False):
        about = self.__ask("tree-stat", path, follow=follow_symlinks)
        return FileStat(FileType(about["type"]), executable=about["executable"], size=about["size"])

    @contextmanager
    def open_file(self, path, *, mode="r"):
        if mode not in _MODES:
            raise ValueError("Unsupported mode: `{}`".format(mode))
        encoding = None if "b" in mode else "utf-8"
        if "r" in mode:
            host = self.__ask("tree-read", path)
            try:
                with open(host, mode, encoding=encoding) as file:
                    os.unlink(host)
                    yield file
            finally:
                if os.path.exists(host):
                    os.unlink(host)
            return
        host = self.__ask("tree-draft", path, new="x" in mode)
        try:
            with open(host, mode.replace("x", "w"), encoding=encoding) as file:
                yield file
            self.__ask("tree-write", path, file=host, executable=os.access(host, os.X_OK))
        finally:
            os.unlink(host)

    def file_digest(self, path):
        about = self.__ask("tree-stat", path, follow=False)
        if about["type"] != FileType.REGULAR_FILE.value:
            raise DirectoryError("{} in {} is not a file".format(path, self))
        return about["digest"]

    def readlink(self, path):
        about = self.__ask("tree-stat", path, follow=False)
        if about["type"] != FileType.SYMLINK.value:
            raise DirectoryError("{} in {} is not a symbolic link".format(path, self))
        return about["target"]

    def remove(self, path, *, recursive=False):
        self.__ask("tree-remove", path, recursive=recursive)

    def rename(self, src, dest):
        self.__ask("tree-rename", src, to=os.path.join(self._path, _checked(dest)))

    def _get_digest(self):
        found = self.__ask("tree-digest", "")
        return _Digest(found["hash"], found["size"])

    def __ask(self, question, path, **more):
        path = os.path.join(self._path, _checked(path)) if path else self._path
        return _pipe.ask(question, sandbox=self._sandbox, path=path, **more)


class _Digest:
    """Names a tree."""

    def __init__(self, digest, size):
        self.hash = digest
        self.size_bytes = size


def _paths_of(source):
    """Every path below a directory, of whichever sort, directories included."""
    if isinstance(source, Directory):
        yield from source.list_relative_paths()
        return
    yield from _HostDirectory(source).list_relative_paths()


class _HostDirectory(Directory):
    """A directory of the host, where sources are staged."""

    def __init__(self, path):
        self._path = os.path.abspath(path)

    def __str__(self):
        return self._path

    def __iter__(self):
        return iter(os.listdir(self._path))

    def __bool__(self):
        return bool(os.listdir(self._path))

    def open_directory(self, path, *, create=False, follow_symlinks=False):
        full = self.__full(path)
        if create:
            try:
                os.makedirs(full, exist_ok=True)
            except OSError as error:
                raise DirectoryError("{}: {}".format(full, error.strerror)) from error
        if not os.path.lexists(full):
            raise DirectoryError("'{}' not found in {}".format(path, self), reason="directory-not-found")
        if not os.path.isdir(full) or (os.path.islink(full) and not follow_symlinks):
            raise DirectoryError("'{}' in {} is not a directory".format(path, self), reason="not-a-directory")
        return _HostDirectory(os.path.realpath(full) if follow_symlinks else full)

    def import_files(self, external_pathspec, *, filter_callback=None, collect_result=True):
        from . import utils

        if isinstance(external_pathspec, _SandboxDirectory):
            raise DirectoryError("files of a sandbox cannot be imported into a directory of the host")
        source = external_pathspec._path if isinstance(external_pathspec, Directory) else external_pathspec
        result = utils.copy_files(source, self._path, filter_callback=filter_callback)
        return result if collect_result else None

    def import_single_file(self, external_pathspec):
        from . import utils

        result = FileListResult()
        place = self.__full(os.path.basename(external_pathspec))
        result.overwritten = [os.path.basename(place)] if os.path.lexists(place) else []
        utils.safe_copy(external_pathspec, place)
        result.files_written = [external_pathspec]
        return result

    def list_relative_paths(self):
        for top, directories, files in os.walk(self._path):
            links = [name for name in directories if os.path.islink(os.path.join(top, name))]
            directories[:] = sorted(name for name in directories if name not in links)
            place = os.path.relpath(top, self._path)
            place = "" if place == "." else place
            if place:
                yield place
            for name in sorted(files + links):
                yield os.path.join(place, name)

    def stat(self, path, *, follow_symlinks=False):
        import stat

        try:
            about = os.stat(self.__full(path), follow_symlinks=follow_symlinks)
        except OSError as error:
            raise DirectoryError("'{}' in {}: {}".format(path, self, error.strerror)) from error
        if stat.S_ISDIR(about.st_mode):
            return FileStat(FileType.DIRECTORY)
        if stat.S_ISLNK(about.st_mode):
            return FileStat(FileType.SYMLINK, size=about.st_size, mtime=about.st_mtime)
        executable = bool(about.st_mode & stat.S_IXUSR)
        return FileStat(FileType.REGULAR_FILE, executable=executable, size=about.st_size, mtime=about.st_mtime)

    @contextmanager
    def open_file(self, path, *, mode="r"):
        if mode not in _MODES:
            raise ValueError("Unsupported mode: `{}`".format(mode))
        full = self.__full(path)
        if "w" in mode and os.path.lexists(full):
            # Never through a link, which may be hard or lead anywhere.
            os.unlink(full)
        try:
            with open(full, mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
        except (FileExistsError, FileNotFoundError, IsADirectoryError) as error:
            raise DirectoryError("'{}' in {}: {}".format(path, self, error.strerror)) from error

    def file_digest(self, path):
        from . import utils

        if not self.isfile(path):
            raise DirectoryError("{} in {} is not a file".format(path, self))
        return utils.sha256sum(self.__full(path))

    def readlink(self, path):
        if not self.islink(path):
            raise DirectoryError("{} in {} is not a symbolic link".format(path, self))
        return os.readlink(self.__full(path))

    def remove(self, path, *, recursive=False):
        import shutil

        full = self.__full(path)
        try:
            if os.path.isdir(full) and not os.path.islink(full):
                shutil.rmtree(full) if recursive else os.rmdir(full)
            else:
                os.unlink(full)
        except OSError as error:
            raise DirectoryError("'{}' in {}: {}".format(path, self, error.strerror)) from error

    def rename(self, src, dest):
        try:
            os.rename(self.__full(src), self.__full(dest))
        except OSError as error:
            raise DirectoryError("'{}' in {}: {}".format(src, self, error.strerror)) from error

    def __full(self, path):
        return os.path.join(self._path, _checked(path))
