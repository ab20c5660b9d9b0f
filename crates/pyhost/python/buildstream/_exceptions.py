"""Where older plugins look for errors."""

from .exceptions import BstError, ErrorDomain, ImplError, LoadError, LoadErrorReason, PluginError, SandboxError

__all__ = ["BstError", "ErrorDomain", "ImplError", "LoadError", "LoadErrorReason", "PluginError", "SandboxError"]
