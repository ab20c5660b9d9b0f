"""Small types of the plugin API."""

SourceRef = object


class MetaFastEnum(type):
    def __new__(mcs, name, bases, namespace):
        entries = {key: value for key, value in namespace.items() if not key.startswith("_") and not callable(value)}
        plain = {key: value for key, value in namespace.items() if key not in entries or isinstance(value, classmethod)}
        made = super().__new__(mcs, name, bases, plain)
        made._value_to_entry = {}
        for key, value in entries.items():
            if isinstance(value, classmethod):
                continue
            entry = object.__new__(made)
            entry.name, entry.value = key, value
            made._value_to_entry[value] = entry
            type.__setattr__(made, key, entry)
        return made

    def __setattr__(cls, name, value):
        if name in ("_value_to_entry",):
            type.__setattr__(cls, name, value)
        else:
            raise AttributeError("the values of an enumeration do not change")

    def __iter__(cls):
        return iter(cls._value_to_entry.values())


class FastEnum(metaclass=MetaFastEnum):
    """An enumeration whose members are looked up by value: `Kind("value")`."""

    name = None
    value = None

    @classmethod
    def values(cls):
        return cls._value_to_entry.keys()

    def __new__(cls, value):
        try:
            return cls._value_to_entry[value]
        except KeyError:
            if type(value) is cls:
                return value
            raise ValueError("Unknown enum value: {}".format(value)) from None

    def __eq__(self, other):
        if type(self) is not type(other):
            raise ValueError("Unexpected comparison between {} and {}".format(self, repr(other)))
        return self is other

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(id(self))

    def __str__(self):
        return "{}.{}".format(type(self).__name__, self.name)

    def __repr__(self):
        return "<{}: {}>".format(self, self.value)


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
