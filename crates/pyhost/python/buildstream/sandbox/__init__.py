"""Sandboxes: where elements are staged and commands are run."""

from .sandbox import Sandbox, SandboxCommandError, SandboxError

__all__ = ["Sandbox", "SandboxCommandError", "SandboxError"]
