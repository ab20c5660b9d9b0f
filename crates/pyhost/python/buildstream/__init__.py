"""The plugin API of BuildStream 2, as bourn offers it to Python plugins.

What a plugin does not ask for is not loaded: starting up is most of what a plugin costs.
"""

__version__ = "2.8.1"

_NAMES = {
    "exceptions": ["BstError"],
    "node": ["MappingNode", "Node", "ProvenanceInformation", "ScalarNode", "SequenceNode"],
    "types": ["CoreWarnings", "FastEnum", "OverlapAction", "SourceRef"],
    "utils": ["ProgramNotFoundError", "UtilError"],
    "plugin": ["Plugin"],
    "sandbox": ["Sandbox", "SandboxCommandError"],
    "storage": ["Directory", "DirectoryError", "FileStat", "FileType"],
    "source": ["Source", "SourceError", "SourceFetcher", "SourceInfo", "SourceInfoMedium", "SourceVersionType"],
    "sourcemirror": ["SourceMirror", "SourceMirrorError"],
    "downloadablefilesource": ["DownloadableFileSource"],
    "element": ["DependencyConfiguration", "Element", "ElementError"],
    "buildelement": ["BuildElement"],
    "scriptelement": ["ScriptElement"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_MODULES)


def __getattr__(name):
    from importlib import import_module

    if name in _NAMES:
        return import_module("." + name, __name__)
    if name not in _MODULES:
        raise AttributeError("module '{}' has no attribute '{}'".format(__name__, name))
    value = getattr(import_module("." + _MODULES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_NAMES, *_MODULES])
