"""Elements that run lists of commands over their sources."""

import os

from .element import Element

_STEPS = ("configure-commands", "build-commands", "install-commands", "strip-commands")

# Says in the build directory of a workspace that it was configured.
_CONFIGURED = ".bst-prepared"


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

    def configure_sandbox(self, sandbox):
        build, install = self.get_variable("build-root"), self.get_variable("install-root")
        sandbox.mark_directory(build)
        sandbox.mark_directory(install)
        sandbox.set_work_directory(os.path.join(build, self.__subdirectory) if self.__subdirectory else build)
        environment = self.get_environment()
        for variable, members in sorted(self.__digest_environment.items()):
            heading = "Staging dependencies for '{}' in subsandbox".format(variable)
            with self.timed_activity(heading, silent_nested=True), self.subsandbox(sandbox) as apart:
                self.stage_dependency_artifacts(apart, [element for element, _ in members])
                digest = apart.get_virtual_directory()._get_digest()
            environment[variable] = "{}/{}".format(digest.hash, digest.size_bytes)
        sandbox.set_environment(environment)

    def stage(self, sandbox):
        stage_layout(self, sandbox, self.__layout)
        self.stage_sources(sandbox, self.get_variable("build-root"))

    def assemble(self, sandbox):
        with sandbox.batch(root_read_only=True, label="Running commands"):
            for step in _STEPS:
                if step == "configure-commands" and not self.__configures(sandbox):
                    continue
                for command in self.__commands[step]:
                    shell = ["sh", "-c", "-e", command + "\n"]
                    sandbox.run(shell, root_read_only=True, label=command)
                if step == "configure-commands" and self._get_workspace():
                    sandbox._create_empty_file(_CONFIGURED)
            self.run_cleanup_commands(sandbox)
        return self.get_variable("install-root")

    def __configures(self, sandbox):
        """Whether to configure: a workspace is configured once."""
        if not self.__commands["configure-commands"] or not self._get_workspace():
            return True
        root = sandbox.get_virtual_directory()
        return not root.exists("{}/{}".format(self.get_variable("build-root").lstrip("/"), _CONFIGURED))

    def generate_script(self):
        commands = (command for step in _STEPS for command in self.__commands[step])
        return "".join("(set -ex; {}\n) || exit 1\n".format(command) for command in commands)


def _paths(groups):
    return {name: [path for _, path in members] for name, members in sorted(groups.items())}


def stage_layout(element, sandbox, layout):
    """Stages dependencies each at its place, those with the shortest paths first, and integrates the root."""
    for location, members in sorted(layout.items()):
        with element.timed_activity("Staging dependencies at: {}".format(location), silent_nested=True):
            element.stage_dependency_artifacts(sandbox, [member for member, _ in members], path=location)
    root = [member for member, _ in layout.get("/", [])]
    if root:
        with element.timed_activity("Integrating sandbox", silent_nested=True), sandbox.batch():
            for dependency in element.dependencies(root):
                dependency.integrate(sandbox)
