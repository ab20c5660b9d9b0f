"""Small types of the plugin API."""

SourceRef = object


class MetaFastEnum(type):
    """Makes members of what a class assigns, each one object."""

    def __new__(mcs, name, bases, namespace):
        known = namespace.pop("_is_base", False)
        entries = {} if known else {key: value for key, value in namespace.items() if _is_entry(key, value)}
        plain = {key: value for key, value in namespace.items() if key not in entries}
        plain["_value_to_entry"] = {}
        made = super().__new__(mcs, name, bases, plain)
        for key, value in entries.items():
            entry = object.__new__(made)
            entry.name, entry.value = key, value
            made._value_to_entry[value] = entry
            type.__setattr__(made, key, entry)
        return made

    def __setattr__(cls, name, value):
        raise AttributeError("the values of an enumeration do not change")

    def __iter__(cls):
        return iter(cls._value_to_entry.values())


def _is_entry(key, value):
    return not key.startswith("_") and not callable(value) and not isinstance(value, (classmethod, staticmethod))


class FastEnum(metaclass=MetaFastEnum):
    """An enumeration whose members are looked up by value: `Kind("value")`."""

    _is_base = True

    name = None
    value = None

    @classmethod
    def values(cls):
        return cls._value_to_entry.keys()

    def __new__(cls, value):
        try:
            return cls._value_to_entry[value]
        except KeyError:
            if isinstance(value, cls):
                return value
            raise ValueError("Unknown enum value: {}".format(value)) from None

    def __eq__(self, other):
        return self is other if type(self) is type(other) else NotImplemented

    def __ne__(self, other):
        return self is not other if type(self) is type(other) else NotImplemented

    def __hash__(self):
        return hash(id(self))

    def __str__(self):
        return str(self.value)

    def __repr__(self):
        return "<{}.{}: {}>".format(type(self).__name__, self.name, self.value)

    def __reduce__(self):
        return type(self), (self.value,)


class CoreWarnings:
    """Warnings that a project can make fatal by name."""

    OVERLAPS = "overlaps"
    UNSTAGED_FILES = "unstaged-files"
    REF_NOT_IN_TRACK = "ref-not-in-track"
    UNALIASED_URL = "unaliased-url"
    UNAVAILABLE_SOURCE_INFO = "unavailable-source-info"


class OverlapAction(FastEnum):
    """What files lead to that replace others."""

    ERROR = "error"
    WARNING = "warning"
    IGNORE = "ignore"


class _Scope(FastEnum):
    """Which dependencies are meant: no interface, but local copies of kinds of bst's own use it."""

    ALL = 1
    BUILD = 2
    RUN = 3
    NONE = 4
