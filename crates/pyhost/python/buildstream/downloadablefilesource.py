"""Sources that are one file behind a URL.

The file is kept as MIRROR-DIRECTORY/URL-AS-A-NAME/SHA256, with the ETag of the answer beside it, as bst keeps it.
"""

import os
import re

from . import utils
from .source import Source, SourceError, SourceInfoMedium, SourceVersionType

_TIMEOUT = 10 * 60
"""Seconds without a byte until a server counts as gone."""


class DownloadableFileSource(Source):
    """A source whose ref is the SHA-256 of the file it downloads."""

    COMMON_CONFIG_KEYS = Source.COMMON_CONFIG_KEYS + ["url", "ref", "version-guess-pattern", "version"]

    def configure(self, node):
        self.original_url = node.get_str("url")
        self.ref = node.get_str("ref", None)
        extra_data = {}
        self.url = self.translate_url(self.original_url, extra_data=extra_data)
        self.bearer_auth = extra_data.get("http-auth") == "bearer"
        self._mirror_dir = os.path.join(self.get_mirror_directory(), utils.url_directory_name(self.original_url))
        self._guess_pattern_string = node.get_str("version-guess-pattern", None)
        self._guess_pattern = None
        if self._guess_pattern_string is not None:
            self._guess_pattern = re.compile(self._guess_pattern_string)
        self._version = node.get_str("version", None)

    def preflight(self):
        pass

    def get_unique_key(self):
        key = [self.original_url, self.ref]
        told = self._guess_pattern_string if self._version is None else self._version
        return key if told is None else key + [told]

    def is_cached(self):
        return os.path.isfile(self._get_mirror_file())

    def load_ref(self, node):
        self.ref = node.get_str("ref", None)

    def get_ref(self):
        return self.ref

    def set_ref(self, ref, node):
        node["ref"] = self.ref = ref

    def track(self):
        found = self._ensure_mirror("Tracking {}".format(self.url))
        if self.ref and self.ref != found:
            self.warn(
                "Potential man-in-the-middle attack!",
                detail="The file behind {} was {} and is {} now: find out why before you trust it.\n".format(
                    self.url, self.ref, found
                ),
            )
        return found

    def fetch(self):
        if os.path.isfile(self._get_mirror_file()):
            return
        found = self._ensure_mirror("Fetching {}".format(self.url))
        if found != self.ref:
            raise SourceError(
                "File downloaded from {} has sha256sum '{}', not '{}'!".format(self.url, found, self.ref)
            )

    def collect_source_info(self):
        guess = self._version
        if guess is None:
            guess = utils.guess_version(self.original_url, pattern=self._guess_pattern)
        medium, version_type = SourceInfoMedium.REMOTE_FILE, SourceVersionType.SHA256
        return [self.create_source_info(self.url, medium, version_type, self.ref, version_guess=guess)]

    def _get_mirror_file(self, sha=None):
        return os.path.join(self._mirror_dir, self.ref if sha is None else sha)

    def _ensure_mirror(self, activity_name):
        """Downloads the file unless the server says that it is the one we have; its SHA-256."""
        # What does not match its ref is downloaded again whatever its ETag.
        known = self._read_etag() if self.ref and self.is_cached() else None
        with self.tempdir() as directory:
            with self.timed_activity(activity_name):
                try:
                    found = _download(self.url, known, directory, self.__netrc(), self.bearer_auth)
                except (OSError, ValueError) as error:
                    message = "{}: Error mirroring {}: {}".format(self, self.url, error)
                    raise SourceError(message, temporary=True) from error
            if found is None:
                return self.ref
            path, etag = found
            os.makedirs(self._mirror_dir, exist_ok=True)
            sha = utils.sha256sum(path)
            os.replace(path, self._get_mirror_file(sha))
        if etag:
            with utils.save_file_atomic(self._get_mirror_file(sha + ".etag")) as file:
                file.write(etag)
        return sha

    def _read_etag(self):
        try:
            with open(self._get_mirror_file(self.ref + ".etag"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def __netrc(self):
        import netrc

        try:
            return netrc.netrc()
        except OSError:
            return None
        except netrc.NetrcParseError as error:
            self.warn("{}: While reading .netrc: {}".format(self, error))
            return None


def _download(url, etag, directory, netrc, bearer):
    """The path of the file and its ETag; nothing when the server's is the one known."""
    import shutil
    import urllib.error
    import urllib.parse
    import urllib.request

    request = urllib.request.Request(url, headers={"Accept": "*/*", "User-Agent": "BuildStream/2"})
    if etag is not None:
        request.add_header("If-None-Match", etag)
    handlers = []
    host = urllib.parse.urlsplit(url).hostname
    entry = netrc.authenticators(host) if netrc and host else None
    if entry:
        login, _, password = entry
        if bearer:
            request.add_header("Authorization", "Bearer " + password)
        else:
            manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            manager.add_password(None, url, login, password)
            handlers.append(urllib.request.HTTPBasicAuthHandler(manager))
    try:
        response = urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return None
        raise
    with response:
        found = response.headers.get("ETag")
        if etag is not None and found == etag:
            return None
        path = os.path.join(directory, "download")
        with open(path, "wb") as file:
            shutil.copyfileobj(response, file)
            length = response.headers.get("Content-Length")
            if length and file.tell() < int(length):
                raise ValueError("only {} of {} bytes arrived".format(file.tell(), length))
    return path, found
