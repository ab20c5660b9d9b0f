"""The values of project files, each knowing where it was written.

On the pipe a node is a list: ["s", text or null, place], ["l", [nodes], place] or ["m", [[key, node], ...], place],
where place is [file, line, column] or null for values that no file holds.
"""

from .exceptions import LoadError, LoadErrorReason

_MISSING = object()
_TRUE = ("True", "true", "1")
_FALSE = ("False", "false", "0")


class ProvenanceInformation:
    """Where a node was written."""

    def __init__(self, node):
        self._node = node
        self._place = node._place
        self._is_synthetic = node._place is None

    def __str__(self):
        if self._place is None:
            return " [synthetic node]"
        return "{} [line {} column {}]".format(*self._place)


class Node:
    """A value with its place."""

    def __init__(self, place=None):
        self._place = place

    @classmethod
    def from_dict(cls, value):
        """A mapping made of plain dictionaries, lists and scalars; an empty one of nothing."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise TypeError("Node.from_dict() takes a dictionary, not {!r}".format(value))
        return _made(value)

    @staticmethod
    def _from_wire(wire):
        tag, value, place = wire
        if tag == "s":
            return ScalarNode(value, place)
        if tag == "l":
            return SequenceNode([Node._from_wire(item) for item in value], place)
        return MappingNode({key: Node._from_wire(item) for key, item in value}, place)

    def get_provenance(self):
        return ProvenanceInformation(self)

    def clone(self):
        raise NotImplementedError

    def strip_node_info(self):
        raise NotImplementedError

    def _expected(self, what):
        found = {ScalarNode: "a string", SequenceNode: "a list", MappingNode: "a dictionary"}[type(self)]
        return LoadError(
            "{}: Expected {}, found {}".format(self.get_provenance(), what, found), LoadErrorReason.INVALID_DATA
        )


class ScalarNode(Node):
    """A string, whatever it looks like, or nothing."""

    def __init__(self, value, place=None):
        super().__init__(place)
        self.value = value

    def __repr__(self):
        return repr(self.value)

    def clone(self):
        return ScalarNode(self.value, self._place)

    def strip_node_info(self):
        return self.value

    def is_none(self):
        return self.value is None

    def as_str(self):
        return None if self.value is None else str(self.value)

    def as_bool(self):
        if self.value in _TRUE or self.value is True:
            return True
        if self.value in _FALSE or self.value is False:
            return False
        raise self._refused("a boolean (`True` or `False`)")

    def as_int(self):
        try:
            return int(self.value)
        except (TypeError, ValueError):
            raise self._refused("a whole number") from None

    def as_enum(self, constraint):
        try:
            return constraint(self.value)
        except ValueError:
            # A plain enumeration of Python's has no values().
            values = ", ".join(str(member.value) for member in constraint)
            raise self._refused("one of " + values) from None

    def _refused(self, what):
        return LoadError(
            "{}: `{}` is not {}".format(self.get_provenance(), self.value, what), LoadErrorReason.INVALID_DATA
        )


class SequenceNode(Node):
    """A list of nodes."""

    def __init__(self, value, place=None):
        super().__init__(place)
        self.value = value

    def __repr__(self):
        return repr(self.value)

    def __iter__(self):
        return iter(self.value)

    def __len__(self):
        return len(self.value)

    def __getitem__(self, index):
        return self.value[index]

    def __setitem__(self, index, value):
        self.value[index] = _made(value, self.value[index]._place)

    def __reversed__(self):
        return reversed(self.value)

    def append(self, value):
        self.value.append(_made(value))

    def clone(self):
        return SequenceNode([item.clone() for item in self.value], self._place)

    def strip_node_info(self):
        return [item.strip_node_info() for item in self.value]

    def as_str_list(self):
        return [_typed(item, ScalarNode, "a string").as_str() for item in self.value]

    def node_at(self, index, allowed_types=None):
        return _allowed(self.value[index], allowed_types)

    def scalar_at(self, index):
        return _typed(self.value[index], ScalarNode, "a string")

    def sequence_at(self, index):
        return _typed(self.value[index], SequenceNode, "a list")

    def mapping_at(self, index):
        return _typed(self.value[index], MappingNode, "a dictionary")


class MappingNode(Node):
    """Keys and nodes, in the order they were written."""

    def __init__(self, value, place=None):
        super().__init__(place)
        self.value = value

    def __repr__(self):
        return repr(self.value)

    def __contains__(self, key):
        return key in self.value

    def __delitem__(self, key):
        del self.value[key]

    def __setitem__(self, key, value):
        old = self.value.get(key)
        self.value[key] = _made(value, None if old is None else old._place)

    def __len__(self):
        return len(self.value)

    def __bool__(self):
        # Also when it is empty: plugins ask in this way whether there is one.
        return True

    def __iter__(self):
        return iter(self.value)

    def clone(self):
        return MappingNode({key: node.clone() for key, node in self.value.items()}, self._place)

    def strip_node_info(self):
        return {key: node.strip_node_info() for key, node in self.value.items()}

    def keys(self):
        return list(self.value.keys())

    def values(self):
        return list(self.value.values())

    def items(self):
        return list(self.value.items())

    def safe_del(self, key):
        self.value.pop(key, None)

    def validate_keys(self, valid_keys):
        """Refuses keys that are not among `valid_keys`."""
        valid = list(valid_keys)
        for key, node in self.value.items():
            if key in valid:
                continue
            import difflib

            message = "{}: Unexpected key: {}".format(node.get_provenance(), key)
            near = difflib.get_close_matches(key, valid, 1)
            detail = "Did you mean `{}`?".format(near[0]) if near else None
            raise LoadError(message, LoadErrorReason.INVALID_DATA, detail=detail)

    def get_node(self, key, allowed_types=None, allow_none=False):
        node = self.value.get(key)
        if node is None:
            if allow_none:
                return None
            raise self._lacks(key)
        return _allowed(node, allowed_types)

    def get_scalar(self, key, default=_MISSING):
        node = self._find(key, default)
        return ScalarNode(_text(default)) if node is default else _typed(node, ScalarNode, "a string")

    def get_str(self, key, default=_MISSING):
        return self.get_scalar(key, default).as_str()

    def get_bool(self, key, default=_MISSING):
        return self.get_scalar(key, default).as_bool()

    def get_int(self, key, default=_MISSING):
        node = self.get_scalar(key, default)
        return None if default is None and node.is_none() else node.as_int()

    def get_enum(self, key, constraint, default=_MISSING):
        node = self._find(key, default)
        if node is default:
            return None if default is None else constraint(default)
        return _typed(node, ScalarNode, "a string").as_enum(constraint)

    def get_str_list(self, key, default=_MISSING):
        node = self._find(key, default)
        return node if node is default else _typed(node, SequenceNode, "a list").as_str_list()

    def get_sequence(self, key, default=_MISSING, allowed_types=None):
        node = self._find(key, default)
        if node is default:
            return None if default is None else _made(default)
        sequence = _typed(node, SequenceNode, "a list")
        for item in sequence:
            _allowed(item, allowed_types)
        return sequence

    def get_mapping(self, key, default=_MISSING):
        node = self._find(key, default)
        if node is default:
            return None if default is None else _made(default)
        return _typed(node, MappingNode, "a dictionary")

    def _find(self, key, default):
        node = self.value.get(key, default)
        if node is _MISSING:
            raise self._lacks(key)
        return node

    def _lacks(self, key):
        return LoadError(
            "{}: Dictionary did not contain expected key '{}'".format(self.get_provenance(), key),
            LoadErrorReason.INVALID_DATA,
        )


def _text(value):
    """A plain scalar as files have it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int)):
        return str(value)
    raise TypeError("nodes hold dictionaries, lists, strings, whole numbers, booleans or None, not {!r}".format(value))


def _typed(node, kind, what):
    if not isinstance(node, kind):
        raise node._expected(what)
    return node


def _allowed(node, allowed_types):
    if allowed_types and type(node) not in allowed_types:
        raise node._expected("another type")
    return node


def _made(value, place=None):
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return MappingNode({key: _made(item) for key, item in value.items()}, place)
    if isinstance(value, list):
        return SequenceNode([_made(item) for item in value], place)
    return ScalarNode(_text(value), place)
