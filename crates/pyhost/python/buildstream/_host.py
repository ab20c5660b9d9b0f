"""Serves bourn's calls: loads plugins and asks them."""

import importlib.util
import os
import sys
import types
import zlib

from . import _pipe, _start, _watch
from .exceptions import BstError, LoadErrorReason, PluginError
from .node import Node

_classes = {}
_sources = {}
_mirrors = {}

_BASES = {
    "elements": ("element", "Element"),
    "sources": ("source", "Source"),
    "source-mirrors": ("sourcemirror", "SourceMirror"),
}

API = (2, 8)


def plugin_class(where):
    """The class of the plugin in the file `directory/kind.py`."""
    key = (where["directory"], where["kind"], where["group"])
    if key not in _classes:
        _classes[key] = load_class(where)
    return _classes[key]


def load_class(where):
    kind, directory, group = where["kind"], where["directory"], where["group"]
    what = group[:-1]
    path = os.path.join(directory, kind + ".py")
    try:
        module = load_module(kind, directory, path)
    except (ImportError, SyntaxError) as error:
        import traceback

        message = "Failed to load {} plugin '{}': {}".format(what, kind, error)
        raise PluginError(message, detail=traceback.format_exc()) from error
    setup = getattr(module, "setup", None)
    if setup is None:
        message = "{} plugin '{}' did not provide a setup() function".format(what, kind)
        raise PluginError(message, reason="missing-setup-function")
    if not callable(setup):
        message = "setup of {} plugin '{}' is no function".format(what, kind)
        raise PluginError(message, reason="setup-is-not-function")
    found = setup()
    base = getattr(importlib.import_module("buildstream." + _BASES[group][0]), _BASES[group][1])
    if not isinstance(found, type):
        message = "setup() of {} plugin '{}' did not return a class".format(what, kind)
        raise PluginError(message, reason="setup-returns-not-type")
    if not issubclass(found, base):
        message = "setup() of {} plugin '{}' returned a class that is not derived from {}".format(
            what, kind, base.__name__
        )
        raise PluginError(message, reason="setup-returns-bad-type")
    check_version(found, what, kind)
    return found


def load_module(kind, directory, path):
    package = package_of(directory)
    name = package + "." + kind
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def package_of(directory):
    """The name of the package that plugins of a directory are modules of, so that they can import one another.

    Where the directory is part of a real package, that is it: its plugins import by its name.
    """
    top, names = directory, []
    while os.path.isfile(os.path.join(top, "__init__.py")):
        top, name = os.path.split(top)
        names.insert(0, name)
    if names and all(name.isidentifier() for name in names):
        package = ".".join(names)
        if top not in sys.path:
            sys.path.insert(1, top)
        try:
            found = importlib.import_module(package)
        except ImportError:
            found = None
        if found is not None and os.path.realpath(directory) in map(os.path.realpath, found.__path__):
            return package
    # A package of its own for each directory, so that names do not collide.
    package = "bourn_plugins_{:08x}".format(zlib.crc32(directory.encode()))
    if package not in sys.modules:
        parent = types.ModuleType(package)
        parent.__path__ = [directory]
        sys.modules[package] = parent
    return package


def check_version(found, what, kind):
    """Refuses a plugin that says that it needs another BuildStream, or does not say what it needs."""
    needed = found.BST_MIN_VERSION
    if needed is None:
        message = "{} plugin '{}' does not say in BST_MIN_VERSION which BuildStream it needs".format(what, kind)
        raise PluginError(message, reason="missing-min-version")
    try:
        major, minor = (int(part) for part in needed.split(".")[:2])
    except (AttributeError, ValueError):
        message = "{} plugin '{}' has a BST_MIN_VERSION that is no version: {!r}".format(what, kind, needed)
        raise PluginError(message, reason="malformed-min-version", detail="write it as '2.0'") from None
    if major != API[0]:
        message = "{} plugin '{}' is for BuildStream {}, this is {}.{}".format(what, kind, major, *API)
        raise PluginError(message, reason="incompatible-major-version")
    if minor > API[1]:
        message = "{} plugin '{}' needs BuildStream {}, this is {}.{}".format(what, kind, needed, *API)
        raise PluginError(message, reason="incompatible-minor-version")


def traits(found):
    """What a class says of all its plugins."""
    deprecated = found.BST_PLUGIN_DEPRECATION_MESSAGE or "" if found.BST_PLUGIN_DEPRECATED else None
    return {"deprecated": deprecated}


def element_traits(found):
    """What an element says of itself, by its class or since it was configured."""
    return {
        "artifact-version": found.BST_ARTIFACT_VERSION,
        "strict-rebuild": bool(found.BST_STRICT_REBUILD),
        "forbids-runtime-dependencies": bool(found.BST_FORBID_RDEPENDS),
        "forbids-build-dependencies": bool(found.BST_FORBID_BDEPENDS),
        "forbids-sources": bool(found.BST_FORBID_SOURCES),
        "runs-commands": bool(found.BST_RUN_COMMANDS),
        "has-artifact": bool(found.BST_ELEMENT_HAS_ARTIFACT),
        **traits(found),
    }


def make_element(call):
    from buildstream import element as elements

    found = plugin_class(call["plugin"])
    elements._forget_elements()
    element = found(call["element"])
    elements._remember(element)
    element.configure(Node._from_wire(call["config"]))
    dependencies = [
        elements.DependencyConfiguration(
            elements._known(given), path, None if config is None else Node._from_wire(config)
        )
        for given, path, config in call["dependencies"]
    ]
    element.configure_dependencies(dependencies)
    element.preflight()
    return element


def describe_element(call):
    """What an element plugin makes of one element."""
    element = make_element(call)
    return {
        "traits": element_traits(element),
        "key": element.get_unique_key(),
        "source-element": element._get_source_element()._given["id"],
    }


def keyed_element(call):
    """An element that was asked for its key before: plugins may keep what they found out for it."""
    element = make_element(call)
    element.get_unique_key()
    return element


_building = None


def configure_element(call):
    """Sets up the sandbox; the other phases go on with the same object."""
    global _building
    from buildstream.sandbox import Sandbox

    with _pipe.silence():
        element = keyed_element(call)
    sandbox = Sandbox(element)
    _building = element, sandbox
    element.configure_sandbox(sandbox)


def stage_element(call):
    element, sandbox = _building
    element.stage(sandbox)


def assemble_element(call):
    """The directory that is collected."""
    global _building
    element, sandbox = _building
    collected = element.assemble(sandbox)
    _building = None
    return collected


def script_element(call):
    from buildstream.element import Element

    with _pipe.silence():
        element = keyed_element(call)
    scripted = type(element).generate_script is not Element.generate_script
    return element.generate_script() if scripted else None


def make_source(call):
    """The source of a call; made again where this process does not know it."""
    given = call["source"]
    source = _sources.get(given["instance"])
    if source is None:
        with _pipe.silence():
            source = fresh_source(call)
            # Plugins may keep what they found out for their key.
            if source.is_resolved():
                source.get_unique_key()
    return source


def staged_source(call, stage):
    """Stages the source of a call."""
    import json

    from buildstream.source import SourceError

    source = make_source(call)
    if not source._uses_cached_directories():
        stage(source)
        return
    # What it cached for its key is gone: it is made once more, where it can find it.
    with _pipe.silence():
        source = fresh_source(call)
    with source._keeping_cached_directories():
        with _pipe.silence():
            key = source.get_unique_key()
        if json.loads(json.dumps(key)) != call["source"].get("key"):
            raise SourceError(
                "{}: its content is not what its cache key was made of; it changed meanwhile".format(source),
                reason="content-changed",
            )
        stage(source)


def fresh_source(call):
    given = call["source"]
    source = plugin_class(call["plugin"])(given)
    source._preflight()
    source._load_stored_ref()
    _sources[given["instance"]] = source
    return source


def describe_source(call):
    """What a source plugin makes of one source."""
    source = fresh_source(call)
    found = type(source)
    resolved = bool(source.is_resolved())
    return {
        "previous": {
            "track": bool(found.BST_REQUIRES_PREVIOUS_SOURCES_TRACK),
            "fetch": bool(found.BST_REQUIRES_PREVIOUS_SOURCES_FETCH),
            "stage": bool(found.BST_REQUIRES_PREVIOUS_SOURCES_STAGE),
        },
        "validates": found.validate_cache is not sys.modules["buildstream.source"].Source.validate_cache,
        "resolved": resolved,
        "reference": current_reference(source),
        "key": source.get_unique_key() if resolved else None,
        **traits(found),
    }


def current_reference(source):
    ref = source.get_ref()
    return None if ref is None else source._reference(ref)


def track_source(call):
    source = make_source(call)
    ref = source._track(call["previous"])
    if ref is None:
        # Not tracked: what it has stays.
        return None
    if ref == source.get_ref():
        return current_reference(source)
    return source._reference(ref)


def source_info(call):
    infos = make_source(call).collect_source_info()
    return None if infos is None else [info.serialize() for info in infos]


def describe_mirror(call):
    mirror = plugin_class(call["plugin"])(call["mirror"])
    _mirrors[call["mirror"]["instance"]] = mirror
    return {"aliases": list(mirror._aliases()), **traits(type(mirror))}


def translate_by_mirror(call):
    given = call["mirror"]
    if given["instance"] not in _mirrors:
        with _pipe.silence():
            describe_mirror(call)
    extra = {}
    url = _mirrors[given["instance"]].translate_url(
        alias=call["alias"], alias_url=call["alias-url"], source_url=call["body"], extra_data=extra
    )
    return {"url": url, "bearer": extra.get("http-auth") == "bearer"}


def find_package(call):
    """The version of an installed package and the file of one of its plugins."""
    _start.find_installed()
    from importlib import metadata

    try:
        found = metadata.distribution(call["package"])
    except metadata.PackageNotFoundError:
        return {"version": None, "code": None}
    group = "buildstream.plugins." + call["group"].replace("-", "")
    for point in found.entry_points:
        if point.group == group and point.name == call["kind"]:
            # Not point.module, which Python 3.9.0 does not have.
            place = importlib.util.find_spec(point.value.partition(":")[0].strip())
            return {"version": found.version, "code": None if place is None else place.origin}
    return {"version": found.version, "code": None}


def hello(call):
    if "path" in call:
        # What chose the Python, such as pyenv, may have put itself first; tools are to be the user's.
        os.environ["PATH"] = call["path"]
    return {
        "version": _pipe.VERSION,
        "python": sys.version.split()[0],
        "executable": os.path.realpath(sys.executable),
    }


CALLS = {
    "hello": hello,
    "package-find": find_package,
    "plugin-traits": lambda call: traits(plugin_class(call["plugin"])),
    "element-describe": describe_element,
    "element-configure": configure_element,
    "element-stage": stage_element,
    "element-assemble": assemble_element,
    "element-script": script_element,
    "source-describe": describe_source,
    "source-cached": lambda call: make_source(call)._is_cached(),
    "source-validate": lambda call: make_source(call).validate_cache(),
    "source-fetch": lambda call: make_source(call)._fetch(call["previous"]),
    "source-track": track_source,
    "source-stage": lambda call: staged_source(call, lambda source: source._stage(call["directory"])),
    "source-workspace": lambda call: staged_source(call, lambda source: source._init_workspace(call["directory"])),
    "source-info": source_info,
    "mirror-describe": describe_mirror,
    "mirror-translate": translate_by_mirror,
}


def failure(error):
    """An exception as bourn reads it."""
    import traceback

    known = isinstance(error, BstError)
    reason = getattr(error, "reason", None) if known else None
    if isinstance(reason, LoadErrorReason):
        reason = reason.name.lower().replace("_", "-")
    domain = getattr(error, "domain", None) if known else None
    detail = getattr(error, "detail", None) if known else None
    return {
        "message": str(error) if known else "{}: {}".format(type(error).__name__, error),
        "detail": None if detail is None else str(detail),
        "reason": None if reason is None else str(reason),
        "domain": domain.name.lower().replace("_", "-") if domain is not None else None,
        "temporary": bool(getattr(error, "temporary", False)),
        "collect": getattr(error, "collect", None) if known else None,
        "of-element": known and type_of_element(error),
        "traceback": None if known else traceback.format_exc(),
    }


def type_of_element(error):
    """Whether it is the element that failed, and not the world around it."""
    from buildstream.element import ElementError
    from buildstream.sandbox import SandboxCommandError

    return isinstance(error, (ElementError, SandboxCommandError))


def serve():
    _pipe.take_over()
    _start.get_ready()
    _watch.begin()
    while True:
        call = _pipe.receive()
        try:
            watched = call.get("watch", False)
            _watch.watch(watched)
            answer = {"done": CALLS[call["call"]](call)}
            if watched:
                answer["seen"] = _watch.seen()
            _flush()
            _pipe.send(answer)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # Whatever a plugin raises, SystemExit included, is its answer.
            _flush()
            _pipe.send({"failed": failure(error)})


def _flush():
    """What was printed is in the log before the answer is."""
    sys.stderr.flush()
