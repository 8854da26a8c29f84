"""The end of Python: publishers that are still open have a while to leave, and then a warning says what is lost."""

import atexit
import time
import warnings
import weakref

from ._corecast import _is_forked

# As long as the library gives a publisher that is dropped; all of them together.
LINGER_SECONDS = 2.0

live = weakref.WeakSet()


def register():
    atexit.register(_leave)


def _leave():
    # A forked process has publishers of its parent, which are not its to close.
    if _is_forked():
        return
    until = time.monotonic() + LINGER_SECONDS
    lost, why = 0, None
    for publisher in list(live):
        count, reason = publisher._leave(max(0.0, until - time.monotonic()))
        lost, why = lost + count, reason or why
    if lost:
        text = f"Python ended with publishers open, and up to {lost} of their messages are lost: {why}"
        warnings.warn(text, RuntimeWarning, stacklevel=1)
