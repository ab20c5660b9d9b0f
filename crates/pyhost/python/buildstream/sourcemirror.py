"""Source mirror plugins."""

from .exceptions import BstError, ErrorDomain, ImplError
from .node import MappingNode
from .plugin import Plugin


class SourceMirrorError(BstError):
    """A mirror whose configuration is wrong, or that cannot say where something is."""

    def __init__(self, message, *, detail=None, reason=None, temporary=False):
        super().__init__(message, detail=detail, domain=ErrorDomain.SOURCE, reason=reason, temporary=temporary)


class SourceMirror(Plugin):
    """The base of source mirror plugins."""

    _ROLE = "source-mirror"
    BST_MIN_VERSION = "2.2"

    def __init__(self, given):
        super().__init__(given)
        self.__aliases = []
        self.__configuring = True
        self.configure(MappingNode._from_wire(given["config"]))
        self.__configuring = False

    def set_supported_aliases(self, aliases):
        if not self.__configuring:
            raise AssertionError("set_supported_aliases() belongs into configure()")
        self.__aliases.extend(aliases)

    def translate_url(self, *, alias, alias_url, source_url, extra_data):
        raise ImplError("source mirror plugin '{}' does not implement translate_url()".format(self.get_kind()))

    def _aliases(self):
        return self.__aliases
