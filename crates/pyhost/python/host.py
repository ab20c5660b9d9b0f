"""Serves bourn's calls: loads plugins and asks them."""

import importlib.util
import os
import sys
import types
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from buildstream import _pipe, _watch, element as elements
from buildstream.buildelement import BuildElement
from buildstream.element import DependencyConfiguration, Element
from buildstream.exceptions import BstError, LoadErrorReason
from buildstream.node import Node
from buildstream.scriptelement import ScriptElement

_classes = {}


def plugin_class(where):
    """The class of the plugin in the file `directory/kind.py`, or of an installed package's entry point."""
    key = (where["directory"], where["kind"], where["group"])
    if key not in _classes:
        _classes[key] = load_class(where)
    return _classes[key]


def load_class(where):
    kind, directory = where["kind"], where["directory"]
    path = os.path.join(directory, kind + ".py")
    # A package of its own for each directory: relative imports between plugins work, and names do not collide.
    package = "bourn_plugins_{:08x}".format(zlib.crc32(directory.encode()))
    if package not in sys.modules:
        parent = types.ModuleType(package)
        parent.__path__ = [directory]
        sys.modules[package] = parent
    name = package + "." + kind
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    if not hasattr(module, "setup"):
        raise BstError("{} has no setup() function, so it is no plugin".format(path), reason="missing-setup-function")
    found = module.setup()
    if not isinstance(found, type):
        raise BstError("setup() of {} did not return a class".format(path), reason="setup-returns-not-type")
    return found


def traits(found):
    return {
        "artifact-version": found.BST_ARTIFACT_VERSION,
        "strict-rebuild": bool(found.BST_STRICT_REBUILD),
        "forbids-runtime-dependencies": bool(found.BST_FORBID_RDEPENDS),
        "forbids-build-dependencies": bool(found.BST_FORBID_BDEPENDS),
        "forbids-sources": bool(found.BST_FORBID_SOURCES),
        "runs-commands": bool(found.BST_RUN_COMMANDS),
        "has-artifact": bool(found.BST_ELEMENT_HAS_ARTIFACT),
        "minimum-version": found.BST_MIN_VERSION,
        "deprecated": found.BST_PLUGIN_DEPRECATION_MESSAGE if found.BST_PLUGIN_DEPRECATED else None,
    }


def describe_element(call):
    """What an element plugin makes of one element."""
    found = plugin_class(call["plugin"])
    elements._forget_elements()
    element = found(call["element"])
    element.configure(Node._from_wire(call["config"]))
    dependencies = [
        DependencyConfiguration(elements._known(given), path, None if config is None else Node._from_wire(config))
        for given, path, config in call["dependencies"]
    ]
    element.configure_dependencies(dependencies)
    element.preflight()
    base = next(base for base in (BuildElement, ScriptElement, Element) if isinstance(element, base))
    own = element._overrides(base)
    recipe = element._recipe() if base is not Element else {"base": "element"}
    return {"traits": traits(found), "key": element.get_unique_key(), "recipe": recipe, "own": own}


CALLS = {
    "hello": lambda call: {"version": _pipe.VERSION, "python": sys.version.split()[0], "executable": os.path.realpath(sys.executable)},
    "describe-element": describe_element,
}


def failure(error):
    """An exception as bourn reads it."""
    import traceback

    known = isinstance(error, BstError)
    reason = getattr(error, "reason", None)
    if isinstance(reason, LoadErrorReason):
        reason = reason.name.lower().replace("_", "-")
    domain = getattr(error, "domain", None)
    return {
        "message": str(error) if known else "{}: {}".format(type(error).__name__, error),
        "detail": getattr(error, "detail", None),
        "reason": reason,
        "domain": domain.name.lower().replace("_", "-") if domain is not None else None,
        "temporary": bool(getattr(error, "temporary", False)),
        "traceback": None if known else traceback.format_exc(),
    }


def serve():
    _pipe.take_over()
    _watch.begin()
    while True:
        call = _pipe.receive()
        try:
            result = CALLS[call["call"]](call)
            _pipe.send({"done": result, "seen": _watch.seen()})
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # Whatever a plugin raises, SystemExit included, is its answer.
            _pipe.send({"failed": failure(error)})


if __name__ == "__main__":
    serve()
