"""Element plugins."""

from . import _pipe
from .exceptions import BstError, ErrorDomain, ImplError
from .node import MappingNode, Node
from .plugin import Plugin


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
        return iter(_pipe.ask("sources", element=self._given["id"]))

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
        return Node._from_wire(wire) if wire is not None else MappingNode({})

    def node_subst_vars(self, node):
        return _pipe.ask("expand", element=self._given["id"], texts=[node.as_str()])[0]

    def node_subst_sequence_vars(self, node):
        return _pipe.ask("expand", element=self._given["id"], texts=node.as_str_list())

    def get_artifact_name(self, key=None):
        return _pipe.ask("artifact-name", element=self._given["id"], key=key)

    # What the framework calls.

    def _overrides(self, base):
        """The names of the phases that this plugin carries out itself."""
        phases = ("configure_sandbox", "stage", "assemble", "generate_script")
        return [name for name in phases if getattr(type(self), name) is not getattr(base, name)]


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
