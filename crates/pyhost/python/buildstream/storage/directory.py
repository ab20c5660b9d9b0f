"""Directories of sandboxes."""

import os
import tarfile
from contextlib import contextmanager
from io import BytesIO

from .. import _pipe
from ..exceptions import BstError, ErrorDomain
from ..types import FastEnum
from ..utils import BST_ARBITRARY_TIMESTAMP, FileListResult

# What no file is called.
_NO_NAMES = ("", ".", "..")

# As many links as a path may lead through, which is what Linux allows.
_MOST_LINKS = 40

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

    def _make_room(self, name, result):
        """Removes what has a name, and notes it. False when that is a directory that holds something."""
        if self.isdir(name) and len(self.open_directory(name)) > 0:
            result.ignored.append(name)
            return False
        if self.exists(name):
            self.remove(name)
            result.overwritten.append(name)
        return True

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
        if not self._make_room(name, result):
            return result
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
        self.__ask("tree-rename", src, to=_checked(dest))

    def _get_digest(self):
        found = self.__ask("tree-digest", "")
        return _Digest(found["hash"], found["size"])

    def __ask(self, question, name, **more):
        return _pipe.ask(question, sandbox=self._sandbox, path=self._path, name=_checked(name), **more)


class _Digest:
    """Names a tree."""

    def __init__(self, digest, size):
        self.hash = digest
        self.size_bytes = size


def _field(number, content):
    """A field of a protobuf message that is text, bytes or a message."""
    return bytes([number << 3 | 2]) + _number(len(content)) + content


def _number(value):
    """A number as protobuf writes it: seven bits at a time, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _encoded(digest):
    """A `Digest` of the Remote Execution API; what is zero is left out."""
    size = b"\x10" + _number(digest.size_bytes) if digest.size_bytes else b""
    return _field(1, digest.hash.encode()) + size


def _digest_of(path):
    """The digest of the `Directory` message of the Remote Execution API that stands for a directory of the host."""
    import hashlib
    import stat

    from .. import utils

    files, directories, links = [], [], []
    for name in sorted(os.listdir(os.fsencode(path))):
        full = os.path.join(os.fsencode(path), name)
        about = os.lstat(full)
        if stat.S_ISDIR(about.st_mode):
            directories.append(_field(2, _field(1, name) + _field(2, _encoded(_digest_of(os.fsdecode(full))))))
        elif stat.S_ISLNK(about.st_mode):
            links.append(_field(3, _field(1, name) + _field(2, os.readlink(full))))
        elif stat.S_ISREG(about.st_mode):
            content = _Digest(utils.sha256sum(os.fsdecode(full)), about.st_size)
            executable = b"\x20\x01" if about.st_mode & stat.S_IXUSR else b""
            files.append(_field(1, _field(1, name) + _field(2, _encoded(content)) + executable))
    message = b"".join(files + directories + links)
    return _Digest(hashlib.sha256(message).hexdigest(), len(message))


def _paths_of(source):
    """Every path below a directory, of whichever sort, directories included."""
    if isinstance(source, Directory):
        yield from source.list_relative_paths()
        return
    yield from _HostDirectory(source).list_relative_paths()


class _HostDirectory(Directory):
    """A directory of the host, where sources are staged. Paths are walked as in sandboxes: links are followed where a
    plugin says so, and never out of the directory that was staged into.
    """

    def __init__(self, path, root=None):
        self._path = os.path.abspath(path)
        self._root = root or self._path

    def __str__(self):
        return self._path

    def __iter__(self):
        return iter(os.listdir(self._path))

    def __len__(self):
        return len(os.listdir(self._path))

    def open_directory(self, path, *, create=False, follow_symlinks=False):
        return _HostDirectory(self.__walk(self._path, _checked(path), follow_symlinks, create), self._root)

    def import_files(self, external_pathspec, *, filter_callback=None, collect_result=True):
        if isinstance(external_pathspec, _SandboxDirectory):
            raise DirectoryError("files of a sandbox cannot be imported into a directory of the host")
        host = isinstance(external_pathspec, _HostDirectory)
        source = external_pathspec if host else _HostDirectory(external_pathspec)
        if not os.path.isdir(source._path):
            raise BstError("there is no directory {} to be imported".format(source))
        result = FileListResult()
        self.__merge(source, "", filter_callback, result)
        return result if collect_result else None

    def import_single_file(self, external_pathspec):
        from .. import utils

        result = FileListResult()
        name = os.path.basename(external_pathspec)
        if self._make_room(name, result):
            utils.safe_copy(external_pathspec, os.path.join(self._path, name))
            result.files_written = [external_pathspec]
        return result

    def list_relative_paths(self):
        from .. import utils

        return utils.list_relative_paths(self._path)

    def stat(self, path, *, follow_symlinks=False):
        import stat

        about = os.lstat(self.__find(self._path, _checked(path), follow_symlinks))
        if stat.S_ISDIR(about.st_mode):
            return FileStat(FileType.DIRECTORY, executable=True)
        if stat.S_ISLNK(about.st_mode):
            return FileStat(FileType.SYMLINK, size=about.st_size)
        executable = bool(about.st_mode & stat.S_IXUSR)
        return FileStat(FileType.REGULAR_FILE, executable=executable, size=about.st_size)

    @contextmanager
    def open_file(self, path, *, mode="r"):
        if mode not in _MODES:
            raise ValueError("Unsupported mode: `{}`".format(mode))
        above, name = self.__place(self._path, _checked(path), False)
        full = os.path.join(above, name)
        there = name not in _NO_NAMES and os.path.lexists(full)
        if name in _NO_NAMES or there and (os.path.islink(full) or not os.path.isfile(full)):
            raise DirectoryError("{} in {} is not a file".format(name, above))
        encoding = None if "b" in mode else "utf-8"
        if "r" in mode:
            if not there:
                raise DirectoryError("{} not found in {}".format(name, above))
            with open(full, mode, encoding=encoding) as file:
                yield file
            return
        if "x" in mode and there:
            raise DirectoryError("{} already exists in {}".format(name, above))
        import tempfile

        # The mode is that of the file that the plugin saw.
        descriptor, draft = tempfile.mkstemp(dir=above)
        os.close(descriptor)
        try:
            os.chmod(draft, 0o644)
            with open(draft, mode.replace("x", "w"), encoding=encoding) as file:
                yield file
            os.replace(draft, full)
        finally:
            if os.path.lexists(draft):
                os.unlink(draft)

    def file_digest(self, path):
        from .. import utils

        full = self.__find(self._path, _checked(path), False)
        if os.path.islink(full) or not os.path.isfile(full):
            raise DirectoryError("{} in {} is not a file".format(path, self))
        return utils.sha256sum(full)

    def readlink(self, path):
        full = self.__find(self._path, _checked(path), False)
        if not os.path.islink(full):
            raise DirectoryError("{} in {} is not a symbolic link".format(path, self))
        return os.readlink(full)

    def remove(self, path, *, recursive=False):
        import shutil

        full = self.__find(self._path, _checked(path), False)
        try:
            if os.path.isdir(full) and not os.path.islink(full):
                shutil.rmtree(full) if recursive else os.rmdir(full)
            else:
                os.unlink(full)
        except OSError as error:
            raise DirectoryError("'{}' in {}: {}".format(path, self, error.strerror)) from error

    def rename(self, src, dest):
        import shutil

        source = self.__find(self._path, _checked(src), False)
        above, name = self.__place(self._path, _checked(dest), False)
        target = os.path.join(above, name)
        if name in _NO_NAMES or target.startswith(source + os.sep):
            raise DirectoryError("'{}' in {} cannot be moved to '{}'".format(src, self, dest))
        if os.path.isdir(target) and not os.path.islink(target) and target != source:
            shutil.rmtree(target)
        os.rename(source, target)

    def _get_digest(self):
        return _digest_of(self._path)

    def __walk(self, at, path, follow, create=False, links=0):
        """The directory that a path leads to."""
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if name == "..":
                at = at if at == self._root else os.path.dirname(at)
                continue
            full = os.path.join(at, name)
            if os.path.islink(full) and follow:
                at = self.__follow(self.__walk, at, full, links)
            elif os.path.lexists(full) and (os.path.islink(full) or not os.path.isdir(full)):
                raise DirectoryError("{} is not a directory".format(full), reason="not-a-directory")
            elif os.path.isdir(full) or create:
                os.makedirs(full, exist_ok=True)
                at = full
            else:
                raise DirectoryError("{} not found".format(full), reason="directory-not-found")
        return at

    def __place(self, at, path, follow, links=0):
        """The directory that holds what a path names, and the name there."""
        above, _, name = path.rpartition("/")
        return self.__walk(at, above, follow, False, links), name

    def __find(self, at, path, follow, links=0):
        """The path of what a path leads to."""
        above, name = self.__place(at, path, follow, links)
        full = os.path.join(above, name)
        if name in _NO_NAMES or not os.path.lexists(full):
            raise DirectoryError("{} not found".format(full))
        if os.path.islink(full) and follow:
            return self.__follow(self.__find, above, full, links)
        return full

    def __follow(self, step, at, link, links):
        if links == _MOST_LINKS:
            raise DirectoryError("{} is a link that leads to too many others".format(link))
        target = os.readlink(link)
        at = self._root if target.startswith("/") else at
        return step(at, target, True, links=links + 1)

    def __merge(self, source, place, wanted, result):
        """Imports a directory into this one, both `place` below where it began."""
        import shutil

        for name in sorted(source):
            path, full = os.path.join(place, name), os.path.join(source._path, name)
            target = os.path.join(self._path, name)
            if os.path.isdir(full) and not os.path.islink(full):
                new = not os.path.lexists(target)
                try:
                    below = self.open_directory(name, create=True)
                except DirectoryError:
                    raise DirectoryError("{} goes where there is no directory".format(path)) from None
                below.__merge(_HostDirectory(full), path, wanted, result)
                if wanted is not None and new and not below and not wanted(path):
                    os.rmdir(target)
            elif (wanted is None or wanted(path)) and self.__replace(name, path, result):
                shutil.copy2(full, target, follow_symlinks=False)
                result.files_written.append(path)

    def __replace(self, name, path, result):
        """Makes room for a file that is told of as `path`."""
        told = FileListResult()
        room = self._make_room(name, told)
        result.overwritten.extend(path for _ in told.overwritten)
        result.ignored.extend(path for _ in told.ignored)
        return room
