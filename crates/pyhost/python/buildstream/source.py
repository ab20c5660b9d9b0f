"""Source plugins."""

import os
from contextlib import contextmanager

from . import _pipe, _watch, utils
from .exceptions import BstError, ErrorDomain, ImplError, LoadError, LoadErrorReason
from .node import MappingNode, ScalarNode
from .plugin import Plugin
from .types import CoreWarnings, FastEnum


class SourceError(BstError):
    """A source that cannot be had, or whose configuration is wrong."""

    def __init__(self, message, *, detail=None, reason=None, temporary=False):
        super().__init__(message, detail=detail, domain=ErrorDomain.SOURCE, reason=reason, temporary=temporary)


class SourceInfoMedium(FastEnum):
    """By what means a source is obtained."""

    WORKSPACE = "workspace"
    LOCAL = "local"
    REMOTE_FILE = "remote-file"
    GIT = "git"
    BAZAAR = "bzr"
    OCI_IMAGE = "oci-image"
    PYTHON_PACKAGE_INDEX = "pypi"


class SourceVersionType(FastEnum):
    """What sort of text names the version of a source."""

    COMMIT = "commit"
    SHA256 = "sha256"
    CAS_DIGEST = "cas-digest"
    OCI_DIGEST = "oci-digest"
    INDEXED_VERSION = "indexed-version"


class SourceInfo:
    """Where a source comes from. Made by `Source.create_source_info`."""

    def __init__(self, kind, url, provenance, medium, version_type, version, version_guess, extra_data):
        self.kind = kind
        self.url = url
        self.provenance = provenance
        self.homepage = None if provenance is None else provenance.get_str("homepage", None)
        self.issue_tracker = None if provenance is None else provenance.get_str("issue-tracker", None)
        self.medium = medium
        self.version_type = version_type
        self.version = version
        self.version_guess = version_guess
        self.extra_data = extra_data

    @classmethod
    def _from_told(cls, told):
        """What bourn knows of a source of another element."""
        provenance = told.get("provenance")
        return cls(
            told.get("kind"),
            told.get("url"),
            None if provenance is None else MappingNode.from_dict(provenance),
            _named(SourceInfoMedium, told.get("medium")),
            _named(SourceVersionType, told.get("version-type")),
            told.get("version"),
            told.get("version-guess"),
            told.get("extra-data") or {},
        )

    def serialize(self):
        """The mapping that is printed, in its order."""
        said = {"kind": self.kind, "url": self.url}
        if self.provenance is not None:
            for key, value in (("homepage", self.homepage), ("issue-tracker", self.issue_tracker)):
                if value is not None:
                    said[key] = value
            said["provenance"] = self.provenance.strip_node_info()
        said["medium"] = _value(self.medium)
        said["version-type"] = _value(self.version_type)
        said["version"] = self.version
        if self.version_guess is not None:
            said["version-guess"] = self.version_guess
        if self.extra_data:
            said["extra-data"] = self.extra_data
        return said


def _named(names, text):
    """The member that a text is the value of; kinds may also use words of their own."""
    return names(text) if text in names.values() else text


def _value(name):
    return name.value if isinstance(name, FastEnum) else name


class AliasSubstitution:
    """One of the places that an alias may stand for: a position in bourn's list of them."""

    def __init__(self, alias, index, tracking):
        self._alias = alias
        self._index = index
        self._tracking = tracking

    def _apply(self, url, extra_data):
        found = _pipe.ask("substitute", url=url, index=self._index, tracking=self._tracking)
        if found["bearer"] and extra_data is not None:
            extra_data["http-auth"] = "bearer"
        return found["url"]


def _substitutions(alias, tracking):
    """What to try for an alias, best first; nothing but None where there is none."""
    count = _pipe.ask("substitutions", alias=alias, tracking=tracking) if alias else 0
    return [AliasSubstitution(alias, index, tracking) for index in range(count)] or [None]


def _alias_of(url):
    head, separator, _ = url.partition(":")
    return head if separator and head.lower() not in utils._URI_SCHEMES else ""


class SourceFetcher:
    """Fetches one of the URLs of a source."""

    def __init__(self):
        self.__alias = None

    def fetch(self, alias_override=None, **kwargs):
        raise ImplError("SourceFetcher '{}' does not implement fetch()".format(type(self)))

    def get_source_info(self):
        return None

    def mark_download_url(self, url):
        self.__alias = _alias_of(url)

    def _get_alias(self):
        return self.__alias


class Source(Plugin):
    """The base of source plugins."""

    _ROLE = "source"
    BST_CUSTOM_SOURCE_PROVENANCE = False
    BST_REQUIRES_PREVIOUS_SOURCES_TRACK = False
    BST_REQUIRES_PREVIOUS_SOURCES_FETCH = False
    BST_REQUIRES_PREVIOUS_SOURCES_STAGE = False
    BST_STAGE_VIRTUAL_DIRECTORY = False

    COMMON_CONFIG_KEYS = ["kind", "directory", "provenance"]

    def __init__(self, given, override=None):
        super().__init__(given)
        self._directory = given["directory"]
        self._element_name = given["element"]
        attributes = given["attributes"]
        self.__attributes = None if attributes is None else MappingNode._from_wire(attributes)
        if self.__attributes is not None and self.BST_CUSTOM_SOURCE_PROVENANCE:
            raise SourceError(
                "{}: sources of kind '{}' say themselves where each part comes from, "
                "so `provenance` has no place here".format(self._get_provenance(), self.get_kind()),
                reason="top-level-provenance-on-custom-implementation",
            )
        # Whether the plugin asks for cached directories, whether they stay, and those that did by their digests.
        self.__caches = self.__keeps = False
        self.__kept = {}
        self.__override = override
        self.__primary = None
        self.__marked = set()
        self.__configuring = True
        self.configure(self._config_node())
        self.__configuring = False

    # What plugins implement.

    def load_ref(self, node):
        raise ImplError("Source plugin '{}' does not implement load_ref()".format(self.get_kind()))

    def get_ref(self):
        raise ImplError("Source plugin '{}' does not implement get_ref()".format(self.get_kind()))

    def set_ref(self, ref, node):
        raise ImplError("Source plugin '{}' does not implement set_ref()".format(self.get_kind()))

    def track(self, *, previous_sources_dir=None):
        return None

    def fetch(self, *, previous_sources_dir=None):
        raise ImplError("Source plugin '{}' does not implement fetch()".format(self.get_kind()))

    def stage(self, directory):
        raise ImplError("Source plugin '{}' does not implement stage()".format(self.get_kind()))

    def stage_directory(self, directory):
        raise ImplError("Source plugin '{}' does not implement stage_directory()".format(self.get_kind()))

    def init_workspace(self, directory):
        self.stage(directory)

    def init_workspace_directory(self, directory):
        self.stage_directory(directory)

    def get_source_fetchers(self):
        return []

    def validate_cache(self):
        pass

    def is_cached(self):
        raise ImplError("Source plugin '{}' does not implement is_cached()".format(self.get_kind()))

    def is_resolved(self):
        return self.get_ref() is not None

    def collect_source_info(self):
        told = [fetcher.get_source_info() for fetcher in self.get_source_fetchers()]
        # bourn warns where there is nothing.
        return [info for info in told if info is not None] or None

    # What plugins call.

    def get_project_directory(self):
        return self._given["project-directory"]

    def get_mirror_directory(self):
        directory = os.path.join(self._given["source-directory"], self.get_kind())
        os.makedirs(directory, exist_ok=True)
        return directory

    @contextmanager
    def tempdir(self):
        import tempfile

        with tempfile.TemporaryDirectory(dir=self.get_mirror_directory()) as directory:
            yield directory

    def translate_url(self, url, *, alias_override=None, primary=True, suffix=None, extra_data=None):
        self.mark_download_url(url, primary=primary)
        if suffix:
            url += suffix
        if self.__override is not None:
            alias, substitution = self.__override
            # Only the alias of the primary URL is replaced while mirrors are tried for the source as a whole.
            return substitution._apply(url, extra_data) if _alias_of(url) == alias else url
        if alias_override is not None:
            return alias_override._apply(url, extra_data)
        return _pipe.ask("translate-url", url=url)

    def mark_download_url(self, url, *, primary=True):
        alias = _alias_of(url)
        if primary and self.__override is None:
            if self.__primary not in (None, alias):
                raise AssertionError(
                    "the primary URL was marked with alias '{}' before, now with '{}'".format(self.__primary, alias)
                )
            self.__primary = alias
        if self.__configuring:
            self.__marked.add(url)
        elif alias and url not in self.__marked:
            raise AssertionError("the URL {} was not marked in configure()".format(url))
        if not alias:
            self.warn(
                "{}: Use of unaliased source download URL: {}".format(self, url),
                warning_token=CoreWarnings.UNALIASED_URL,
            )
            return
        try:
            _pipe.ask("check-url", url=url)
        except BstError as error:
            raise SourceError("{}: {}".format(self, error), detail=error.detail, reason=error.reason) from None

    def create_source_info(
        self, url, medium, version_type, version, *, version_guess=None, extra_data=None, provenance_node=None
    ):
        if provenance_node is not None:
            self.__check_attributes(provenance_node)
        attributes = self.__attributes if provenance_node is None else provenance_node
        return SourceInfo(
            self.get_kind(), url, attributes, medium, version_type, version, version_guess, extra_data
        )

    @contextmanager
    def _cache_directory(self, digest=None):
        """An empty directory to put content into, whose digest the plugin then takes for its key; or, while the source
        is staged, the directory that has a digest. Not documented, and used by what began as a copy of `local`.
        """
        import shutil
        import tempfile

        from .storage.directory import _HostDirectory

        if digest is not None:
            if digest.hash not in self.__kept:
                raise SourceError("{}: nothing that was cached has the digest {}".format(self, digest.hash))
            yield _HostDirectory(self.__kept[digest.hash])
            return
        self.__caches = True
        with _watch.away():
            path = tempfile.mkdtemp(dir=self.get_mirror_directory(), prefix="cached-")
        _watch.hide(path)
        try:
            directory = _HostDirectory(path)
            yield directory
            if self.__keeps:
                self.__kept[directory._get_digest().hash] = path
        finally:
            if path not in self.__kept.values():
                shutil.rmtree(path, ignore_errors=True)

    # What the framework calls.

    def _uses_cached_directories(self):
        return self.__caches

    @contextmanager
    def _keeping_cached_directories(self):
        """Within, what is put into cached directories can be had again by its digest."""
        import shutil

        self.__keeps = True
        try:
            yield
        finally:
            self.__keeps = False
            for path in self.__kept.values():
                shutil.rmtree(path, ignore_errors=True)
            self.__kept.clear()

    def _config_node(self):
        return MappingNode._from_wire(self._given["config"])

    def _preflight(self):
        try:
            self.preflight()
        except BstError as error:
            raise SourceError("{}: {}".format(self, error), detail=error.detail, reason=error.reason) from error

    def _load_stored_ref(self):
        """Reads the ref that project.refs has, where it has one."""
        if self._given["stored-ref"] is None:
            return
        try:
            self.load_ref(MappingNode._from_wire(self._given["stored-ref"]))
        except ImplError as error:
            raise SourceError(
                "{}: sources of kind '{}' cannot keep their refs in project.refs".format(self, self.get_kind()),
                reason="unsupported-load-ref",
            ) from error

    def _reference(self, ref):
        """The keys by which a ref is written down: those that set_ref() changes. A null stands for one removed."""
        before = self._config_node()
        after = _Recording(before.clone().value)
        self.set_ref(ref, after)
        before, plain = before.strip_node_info(), after.strip_node_info()
        changed = [key for key in plain if key in after._touched or before.get(key) != plain[key]]
        said = {key: plain[key] for key in changed}
        said.update((key, None) for key in before if key not in plain)
        return said

    def _is_cached(self):
        from .exceptions import PluginError

        try:
            return bool(self.is_cached())
        except SourceError:
            raise
        except Exception as error:
            raise PluginError(
                "Source plugin '{}' failed to check its cached state: {}".format(self.get_kind(), error),
                reason="source-bug",
            ) from error

    def _fetch(self, previous):
        more = {"previous_sources_dir": previous} if self.BST_REQUIRES_PREVIOUS_SOURCES_FETCH else {}
        with _pipe.silence():
            fetchers = self.get_source_fetchers()
        if not fetchers:
            self._each_substitution(False, lambda source: source.fetch(**more))
            return
        fetchers = iter(fetchers)
        while True:
            with _pipe.silence():
                fetcher = next(fetchers, None)
            if fetcher is None:
                return
            _first(_substitutions(fetcher._get_alias(), False), fetcher.fetch)

    def _track(self, previous):
        more = {"previous_sources_dir": previous} if self.BST_REQUIRES_PREVIOUS_SOURCES_TRACK else {}
        return self._each_substitution(True, lambda source: source.track(**more))

    def _each_substitution(self, tracking, work):
        """Does the work on the source as each of the places that its alias stands for makes it, until one is good."""
        substitutions = _substitutions(self.__primary, tracking)
        if substitutions == [None]:
            return work(self)
        return _first(substitutions, lambda substitution: work(self._clone(substitution)))

    def _clone(self, substitution):
        clone = type(self)(self._given, (substitution._alias, substitution))
        clone._preflight()
        clone._load_stored_ref()
        return clone

    def _stage(self, directory):
        if self.BST_STAGE_VIRTUAL_DIRECTORY:
            from .storage.directory import _HostDirectory

            self.stage_directory(_HostDirectory(directory))
        else:
            self.stage(directory)

    def _init_workspace(self, directory):
        if self.BST_STAGE_VIRTUAL_DIRECTORY:
            from .storage.directory import _HostDirectory

            self.init_workspace_directory(_HostDirectory(directory))
        else:
            self.init_workspace(directory)

    def __check_attributes(self, node):
        try:
            node.validate_keys(self._given["provenance-attributes"])
        except LoadError as error:
            raise LoadError(
                "A provenance attribute is not declared in project.conf: {}".format(error),
                LoadErrorReason.UNDEFINED_SOURCE_PROVENANCE_ATTRIBUTE,
            ) from None
        for key, value in node.items():
            if not isinstance(value, ScalarNode):
                raise LoadError(
                    "{}: Expected string for the value of provenance attribute '{}'".format(value.get_provenance(), key),
                    LoadErrorReason.INVALID_DATA,
                )


class _Recording(MappingNode):
    """A mapping that remembers which of its keys were set."""

    def __init__(self, value):
        super().__init__(value)
        self._touched = set()

    def __setitem__(self, key, value):
        self._touched.add(key)
        super().__setitem__(key, value)


def _first(alternatives, work):
    """What the first alternative that works gives; the error of the last if none does."""
    last = None
    for alternative in alternatives:
        try:
            return work(alternative)
        except BstError as error:
            last = error
    raise last
