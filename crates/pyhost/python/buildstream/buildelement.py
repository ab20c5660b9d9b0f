"""Elements that run lists of commands over their sources."""

from .element import Element

_STEPS = ("configure-commands", "build-commands", "install-commands", "strip-commands")


class BuildElement(Element):
    """Configures, builds, installs and strips by command lists."""

    def configure(self, node):
        node.validate_keys(_STEPS)
        self.__subdirectory = self.get_variable("command-subdir")
        self.__commands = {step: node.get_str_list(step, []) for step in _STEPS}

    def configure_dependencies(self, dependencies):
        self.__layout = {}
        self.__digest_environment = {}
        for dependency in dependencies:
            location = "/"
            if dependency.config:
                dependency.config.validate_keys(["digest-environment", "location"])
                location = dependency.config.get_str("location", "/")
                variable = dependency.config.get_str("digest-environment", None)
                if variable is not None:
                    self.__digest_environment.setdefault(variable, []).append((dependency.element, dependency.path))
            self.__layout.setdefault(location, []).append((dependency.element, dependency.path))

    def preflight(self):
        pass

    def get_unique_key(self):
        key = dict(self.__commands)
        if self.__subdirectory:
            key["command-subdir"] = self.__subdirectory
        if self.get_variable("notparallel"):
            key["notparallel"] = True
        if any(location != "/" for location in self.__layout):
            key["layout"] = _paths(self.__layout)
        if self.__digest_environment:
            # The misspelling is part of every key made so far.
            key["digest-enviornment"] = _paths(self.__digest_environment)
        return key

    def generate_script(self):
        commands = (command for step in _STEPS for command in self.__commands[step])
        return "".join("(set -ex; {}\n) || exit 1\n".format(command) for command in commands)

    def _recipe(self):
        """What there is to do, for bourn to do it."""
        return {
            "base": "build",
            "subdirectory": self.__subdirectory or "",
            "commands": self.__commands,
            "layout": _ids(self.__layout),
            "digest-environment": _ids(self.__digest_environment),
        }


def _paths(groups):
    return {name: [path for _, path in members] for name, members in sorted(groups.items())}


def _ids(groups):
    return [[name, [element._given["id"] for element, _ in members]] for name, members in sorted(groups.items())]
