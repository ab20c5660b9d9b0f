#!/usr/bin/env python3
"""Takes resolved elements and their keys out of BuildStream.

usage: golden.py PROJECT ELEMENTS VERSION TARGET... > golden.json

Runs `bst show` of the installed BuildStream in this process on a copy of PROJECT, into which the directory ELEMENTS of
a version of buildstream-plugins-community is copied as `plugins`, and prints one JSON record per element, dependencies
first. Without plugins to copy, ELEMENTS is `-`; then the project is used where it is.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile

import ujson
from buildstream._frontend.cli import cli
from buildstream._stream import Stream
from buildstream.element import Element

# The variables that kinds read; all others only matter by what they were expanded to.
VARIABLES = ["build-root", "command-subdir", "cwd", "install-root", "notparallel", "sysroot"]

loaded = {}
records = []


def key(value):
    return json.loads(ujson.dumps(value, sort_keys=True, escape_forward_slashes=False))


def private(element, name):
    return getattr(element, "_Element__" + name)


def record(element, version, index):
    sources = list(element.sources())
    resolved = all(source.is_resolved() for source in sources)
    found = {
        "full": element._get_full_name(),
        "project": element.project_name,
        "name": element.name,
        "kind": element.get_kind(),
        "variables": {k: v for k, v in private(element, "variables") if k in VARIABLES},
        "environment": private(element, "environment"),
        "nocache": sorted(private(element, "env_nocache")),
        "config": private(element, "config").strip_node_info(),
        "public": private(element, "public").strip_node_info(),
        "sandbox": private(element, "sandbox_config").to_dict(),
        "fatal": sorted(element._get_project()._fatal_warnings),
        "deps": [
            {
                "element": index[dependency.element],
                "type": int(dependency.dep_type),
                "strict": bool(dependency.strict),
                "path": dependency.path,
                "config": [config.strip_node_info() for config in dependency.config_nodes or []],
            }
            for dependency in loaded[element].dependencies
        ],
        "sources": [
            {
                "kind": source.get_kind(),
                "directory": source._directory,
                "key": key(source._get_unique_key()) if source.is_resolved() else None,
            }
            for source in sources
        ],
        "unique": key(element.get_unique_key()),
        "version": element.BST_ARTIFACT_VERSION,
        "runs": bool(element.BST_RUN_COMMANDS),
        "strict_rebuild": bool(element.BST_STRICT_REBUILD),
        "weak": private(element, "weak_cache_key"),
        "strict": private(element, "strict_cache_key"),
        "sources_key": private(element, "sources").get_cache_key() if resolved else None,
    }
    if version:
        found["plugin-version"] = version
    return found


def collect(version):
    by_load = {load: element for element, load in loaded.items()}
    order, index = [], {}

    def visit(load):
        if load not in index:
            index[load] = None
            for dependency in load.dependencies:
                visit(dependency.element)
            index[load] = len(order)
            order.append(by_load[load])

    sys.setrecursionlimit(100000)
    for load in by_load:
        visit(load)
    records.extend(record(element, version, index) for element in order)


def main():
    project, plugins, version, *targets = sys.argv[1:]
    new, load = Element._new_from_load_element.__func__, Stream.load_selection

    def remember(cls, load_element, task=None):
        element = new(cls, load_element, task)
        loaded[element] = load_element
        return element

    def after(self, *args, **kwargs):
        result = load(self, *args, **kwargs)
        collect(version.strip("-"))
        return result

    Element._new_from_load_element = classmethod(remember)
    Stream.load_selection = after
    with tempfile.TemporaryDirectory() as scratch:
        if plugins != "-":
            copy = os.path.join(scratch, "project")
            shutil.copytree(project, copy)
            shutil.copytree(plugins, os.path.join(copy, "plugins"))
            project = copy
        config = os.path.join(scratch, "bst.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write("cachedir: {0}/cache\nlogdir: {0}/logs\n".format(scratch))
        os.chdir(project)
        sys.argv = ["bst", "--no-interactive", "--no-colors", "-c", config, "show", "--deps", "all", *targets]
        # bst prints to the file descriptor itself.
        out = os.dup(1)
        with open(os.path.join(scratch, "out"), "wb") as quiet:
            os.dup2(quiet.fileno(), 1)
            with contextlib.suppress(SystemExit):
                cli()
            sys.stdout.flush()
            os.dup2(out, 1)
        os.chdir("/")
    lines = [json.dumps(record, separators=(",", ":")) for record in records]
    print("[\n" + ",\n".join(lines) + "\n]")


main()
