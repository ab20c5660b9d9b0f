"""The errors that plugins raise and catch."""

from enum import Enum, unique


@unique
class ErrorDomain(Enum):
    """Whose rule was broken."""

    PLUGIN = 1
    LOAD = 2
    IMPL = 3
    PLATFORM = 4
    SANDBOX = 5
    ARTIFACT = 6
    PIPELINE = 7
    UTIL = 8
    SOURCE = 9
    ELEMENT = 10
    APP = 11
    STREAM = 12
    VIRTUAL_FS = 13
    CAS = 14
    PROG_NOT_FOUND = 15
    REMOTE = 16
    PROFILE = 17


@unique
class LoadErrorReason(Enum):
    """Why a project cannot be loaded."""

    MISSING_FILE = 1
    INVALID_YAML = 2
    INVALID_DATA = 3
    ILLEGAL_COMPOSITE = 4
    CIRCULAR_DEPENDENCY = 5
    UNRESOLVED_VARIABLE = 6
    UNSUPPORTED_PROJECT = 7
    UNSUPPORTED_PLUGIN = 8
    EXPRESSION_FAILED = 9
    USER_ASSERTION = 10
    TRAILING_LIST_DIRECTIVE = 11
    CONFLICTING_JUNCTION = 12
    INVALID_JUNCTION = 13
    SUBPROJECT_INCONSISTENT = 14
    INVALID_SYMBOL_NAME = 15
    MISSING_PROJECT_CONF = 16
    LOADING_DIRECTORY = 17
    PROJ_PATH_INVALID = 18
    PROJ_PATH_INVALID_KIND = 19
    RECURSIVE_INCLUDE = 20
    CIRCULAR_REFERENCE_VARIABLE = 21
    PROTECTED_VARIABLE_REDEFINED = 22
    INVALID_DEPENDENCY_CONFIG = 23
    LINK_FORBIDDEN_DEPENDENCIES = 24
    CIRCULAR_REFERENCE = 25
    BAD_ELEMENT_SUFFIX = 26
    BAD_CHARACTERS_IN_NAME = 27
    UNDEFINED_SOURCE_PROVENANCE_ATTRIBUTE = 28


class BstError(Exception):
    """An error with a sentence for the user, and perhaps a reason, a longer text, and whether it may pass."""

    default_domain = None

    def __init__(self, message, *, detail=None, domain=None, reason=None, temporary=False):
        super().__init__(message)
        self.detail = detail
        self.domain = domain or self.default_domain
        self.reason = reason
        self.temporary = temporary


class LoadError(BstError):
    default_domain = ErrorDomain.LOAD

    def __init__(self, message, reason, *, detail=None):
        super().__init__(message, detail=detail, reason=reason)


class PluginError(BstError):
    default_domain = ErrorDomain.PLUGIN


class ImplError(BstError):
    default_domain = ErrorDomain.IMPL


class SandboxError(BstError):
    default_domain = ErrorDomain.SANDBOX

    def __init__(self, message, detail=None, reason=None):
        super().__init__(message, detail=detail, reason=reason)
