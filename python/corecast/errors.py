"""The exceptions of corecast. Each has the library's sentence, and a `kind`, a word for programs."""


class CorecastError(Exception):
    """What went wrong. `kind` is a word such as "refused" or "protocol"; `code` is the broker's reason for a refusal."""

    kind: str = "unknown"
    code: str | None = None


class InvalidError(CorecastError, ValueError):
    """An address, a filter, a topic, an option or a file has the wrong form."""


class UnreachableError(CorecastError, ConnectionError):
    """Nobody answered at the address within the time given, or the broker has been away for too long."""


class RefusedError(CorecastError):
    """The broker refuses it; `code` is its reason, such as "not_permitted" or "unauthenticated"."""


class LostError(CorecastError, ConnectionError):
    """The connection was lost during the call, which may or may not have been carried out."""


class TimedOutError(CorecastError, TimeoutError):
    """The call did not finish in the time given. It may still take effect."""


class ClosedError(CorecastError):
    """The publisher or subscriber is closed."""


class ForkedError(CorecastError):
    """The process was forked from one that had used corecast."""


_CLASSES = {
    "invalid": InvalidError,
    "unreachable": UnreachableError,
    "refused": RefusedError,
    "lost": LostError,
    "timed_out": TimedOutError,
    "closed": ClosedError,
    "forked": ForkedError,
}


def _make(kind: str, text: str, code: str | None) -> CorecastError:
    """The exception for an error of the native part, which calls this."""
    error = _CLASSES.get(kind, CorecastError)(text)
    error.kind = kind
    error.code = code
    return error
