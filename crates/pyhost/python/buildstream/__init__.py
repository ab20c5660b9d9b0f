"""The plugin API of BuildStream 2, as bourn offers it to Python plugins."""

from .exceptions import BstError
from .node import MappingNode, Node, ProvenanceInformation, ScalarNode, SequenceNode
from .types import CoreWarnings, FastEnum, OverlapAction, SourceRef
from .utils import ProgramNotFoundError, UtilError
from .plugin import Plugin
from .sandbox import Sandbox, SandboxCommandError
from .storage import Directory, DirectoryError, FileStat, FileType
from .source import Source, SourceError, SourceFetcher, SourceInfo, SourceInfoMedium, SourceVersionType
from .sourcemirror import SourceMirror, SourceMirrorError
from .downloadablefilesource import DownloadableFileSource
from .element import DependencyConfiguration, Element, ElementError
from .buildelement import BuildElement
from .scriptelement import ScriptElement

__version__ = "2.8.1"
