"""Elements that run commands over a layout of dependencies, without sources."""

from .element import Element


class ScriptElement(Element):
    """Runs groups of commands over what was laid out."""

    BST_FORBID_SOURCES = True

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

    def _recipe(self):
        """What there is to do, for bourn to do it."""
        layout = [
            [location, [element._given["id"] for element, _ in members]]
            for location, members in sorted(self.__layout.items())
        ]
        return {
            "base": "script",
            "directory": self.__directory,
            "install-root": self.__install_root,
            "root-read-only": bool(self.__root_read_only),
            "commands": list(self.__commands.items()),
            "layout": layout,
        }
