"""Elements that run commands over a layout of dependencies, without sources."""

from .buildelement import stage_layout
from .element import Element


class ScriptElement(Element):
    """Runs groups of commands over what was laid out."""

    BST_FORBID_RDEPENDS = True
    BST_FORBID_SOURCES = True
    BST_STRICT_REBUILD = True

    __directory = "/"
    __install_root = "/"
    __root_read_only = False

    def __init__(self, given):
        super().__init__(given)
        self.__commands = {}
        self.__layout = {}

    # What plugins call.

    def set_work_dir(self, work_dir=None):
        self.__directory = (self.get_variable("cwd") or "/") if work_dir is None else work_dir

    def set_install_root(self, install_root=None):
        self.__install_root = (self.get_variable("install-root") or "/") if install_root is None else install_root

    def set_root_read_only(self, root_read_only):
        self.__root_read_only = root_read_only

    def layout_add(self, element, dependency_path, location):
        self.__layout.setdefault(location, []).append((element, dependency_path))

    def add_commands(self, group_name, command_list):
        self.__commands[group_name] = command_list

    # What the framework calls.

    def preflight(self):
        pass

    def get_unique_key(self):
        layout = {location: [path for _, path in members] for location, members in sorted(self.__layout.items())}
        return {
            "commands": self.__commands,
            "cwd": self.__directory,
            "install-root": self.__install_root,
            "layout": layout,
            "root-read-only": self.__root_read_only,
        }

    def configure_sandbox(self, sandbox):
        sandbox.set_work_directory(self.__directory)
        sandbox.set_environment(self.get_environment())
        sandbox.mark_directory(self.__install_root)

    def stage(self, sandbox):
        if self.__layout:
            stage_layout(self, sandbox, self.__layout)
        else:
            with self.timed_activity("Staging dependencies", silent_nested=True):
                self.stage_dependency_artifacts(sandbox)
            with sandbox.batch(label="Integrating sandbox"):
                for dependency in self.dependencies():
                    dependency.integrate(sandbox)
        sandbox.get_virtual_directory().open_directory(self.__install_root.lstrip("/"), create=True)

    def assemble(self, sandbox):
        read_only = self.__root_read_only
        with sandbox.batch(root_read_only=read_only, collect=self.__install_root):
            for name, commands in self.__commands.items():
                with sandbox.batch(root_read_only=read_only, label="Running '{}'".format(name)):
                    for command in commands:
                        sandbox.run(["sh", "-c", "-e", command + "\n"], root_read_only=read_only, label=command)
            self.run_cleanup_commands(sandbox)
        return self.__install_root
