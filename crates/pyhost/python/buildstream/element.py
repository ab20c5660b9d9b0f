"""Element plugins."""

from contextlib import contextmanager

from . import _pipe
from .exceptions import BstError, ErrorDomain, ImplError
from .node import Node
from .plugin import Plugin
from .types import OverlapAction
from .utils import FileListResult


class ElementError(BstError):
    """An element that cannot be built, or whose configuration is wrong."""

    def __init__(self, message, *, detail=None, collect=None, reason=None, temporary=False):
        super().__init__(message, detail=detail, domain=ErrorDomain.ELEMENT, reason=reason, temporary=temporary)
        self.collect = collect


class DependencyConfiguration:
    """A direct build dependency with what is configured for it."""

    def __init__(self, element, path, config):
        self.element = element
        self.path = path
        self.config = config


class Element(Plugin):
    """The base of element plugins."""

    _ROLE = "element"
    BST_ARTIFACT_VERSION = 0
    BST_STRICT_REBUILD = False
    BST_FORBID_RDEPENDS = False
    BST_FORBID_BDEPENDS = False
    BST_FORBID_SOURCES = False
    BST_RUN_COMMANDS = True
    BST_ELEMENT_HAS_ARTIFACT = True

    def __init__(self, given):
        super().__init__(given)
        self.project_name = given["project-name"]
        self.normal_name = given["normal-name"]

    def __lt__(self, other):
        return self.name < other.name

    # What plugins implement.

    def configure_dependencies(self, dependencies):
        for dependency in dependencies:
            if dependency.config and dependency.config.keys():
                from .exceptions import LoadError, LoadErrorReason

                raise LoadError(
                    "{}: Custom dependency configuration is not supported by elements of kind '{}'".format(
                        dependency.config.get_provenance(), self.get_kind()
                    ),
                    LoadErrorReason.INVALID_DEPENDENCY_CONFIG,
                )

    def configure_sandbox(self, sandbox):
        raise ImplError("{} does not implement configure_sandbox()".format(self))

    def stage(self, sandbox):
        raise ImplError("{} does not implement stage()".format(self))

    def assemble(self, sandbox):
        raise ImplError("{} does not implement assemble()".format(self))

    def generate_script(self):
        raise ImplError("{} does not implement generate_script()".format(self))

    # What plugins call.

    def sources(self):
        return iter([_SourceOfElement(given) for given in _pipe.ask("sources", element=self._given["id"])])

    def dependencies(self, selection=None, *, recurse=True):
        """The build closure of this element, or the runtime closure of the elements selected."""
        start = None if selection is None else [element._given["id"] for element in selection]
        for given in _pipe.ask("dependencies", element=self._given["id"], selection=start, recurse=recurse):
            yield _known(given)

    def search(self, name):
        given = _pipe.ask("search", element=self._given["id"], name=name)
        return None if given is None else _known(given)

    def get_variable(self, varname):
        return _pipe.ask("variable", element=self._given["id"], name=varname)

    def get_environment(self):
        return dict(_pipe.ask("environment", element=self._given["id"]))

    def get_public_data(self, domain):
        wire = _pipe.ask("public", element=self._given["id"], domain=domain)
        return None if wire is None else Node._from_wire(wire)

    def set_public_data(self, domain, data):
        plain = None if data is None else data.strip_node_info()
        _pipe.ask("set-public", element=self._given["id"], domain=domain, data=plain)

    def node_subst_vars(self, node):
        # Everything is expanded before a plugin sees it.
        return node.as_str()

    def node_subst_sequence_vars(self, node):
        return node.as_str_list()

    def get_artifact_name(self, key=None):
        if key is not None:
            return "{}/{}/{}".format(self.project_name, self.normal_name, key)
        return _pipe.ask("artifact-name", element=self._given["id"])

    def compute_manifest(self, *, include=None, exclude=None, orphans=True):
        split = {"include": include, "exclude": exclude, "orphans": orphans}
        return iter(_pipe.ask("manifest", element=self._given["id"], **split))

    def stage_artifact(
        self, sandbox, *, path=None, action=OverlapAction.WARNING, include=None, exclude=None, orphans=True
    ):
        split = {"include": include, "exclude": exclude, "orphans": orphans}
        _stage(sandbox, [self], False, path, action, split)
        result = FileListResult()
        result.files_written = list(self.compute_manifest(**split))
        return result

    def stage_dependency_artifacts(
        self,
        sandbox,
        selection=None,
        *,
        path=None,
        action=OverlapAction.WARNING,
        include=None,
        exclude=None,
        orphans=True
    ):
        elements = list(self.dependencies(recurse=False) if selection is None else selection)
        _stage(sandbox, elements, True, path, action, {"include": include, "exclude": exclude, "orphans": orphans})

    def integrate(self, sandbox):
        sandbox._integrate(self._given["id"])

    def stage_sources(self, sandbox, directory):
        _pipe.ask("stage-sources", sandbox=sandbox._number, path=directory)

    def run_cleanup_commands(self, sandbox):
        build, install = self.get_variable("build-root"), self.get_variable("install-root")
        if build and not (install and (build.startswith(install) or install.startswith(build))):
            sandbox._clean_directory(build)

    @contextmanager
    def subsandbox(self, sandbox):
        yield sandbox._create_subsandbox()

    # No interface, but local copies of kinds of bst's own use it.

    def _dependencies(self, scope, *, recurse=True):
        for given in _pipe.ask("dependencies", element=self._given["id"], scope=scope.name, recurse=recurse):
            yield _known(given)

    def _get_source_element(self):
        return self

    # What the framework calls.

    def _get_workspace(self):
        return _pipe.ask("workspace") or None


def _stage(sandbox, elements, recurse, path, action, split):
    _pipe.ask(
        "stage",
        sandbox=sandbox._number,
        elements=[element._given["id"] for element in elements],
        recurse=recurse,
        path=path or "/",
        overlaps=action.value,
        **split
    )


class _SourceOfElement:
    """A source as elements see it."""

    def __init__(self, given):
        self.__given = given

    def get_kind(self):
        return self.__given["kind"]

    def get_ref(self):
        return self.__told("ref")

    def collect_source_info(self):
        from .source import SourceInfo

        return [SourceInfo._from_told(told) for told in self.__told("info") or []]

    def __told(self, name):
        if name not in self.__given:
            # Sources are configured after elements.
            raise BstError("What a source is at is not known yet while elements are configured")
        return self.__given[name]


_elements = {}


def _known(given):
    """The one object for an element, so that plugins can compare them."""
    element = _elements.get(given["id"])
    if element is None:
        element = _elements[given["id"]] = Element(given)
    return element


def _remember(element):
    """Makes an element that a plugin stands behind the one that its dependencies' lists name."""
    _elements[element._given["id"]] = element


def _forget_elements():
    _elements.clear()
