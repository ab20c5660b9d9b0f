"""Directories of sandboxes and of the host."""

from .directory import Directory, DirectoryError, FileStat, FileType

__all__ = ["Directory", "DirectoryError", "FileStat", "FileType"]
