"""Publishers and subscribers of a corecast broker.

    with corecast.Subscriber("tcp://127.0.0.1:6680", "prices.>") as subscriber:
        for event in subscriber:
            print(event)

`corecast.aio` has the same for asyncio.
"""

import os as _os

from . import _exit
from ._corecast import (
    CaughtUp,
    ConnectionEvent,
    ConnectionEvents,
    Gap,
    Listed,
    Message,
    Publisher,
    PublisherChange,
    RegistryView,
    Subscriber,
    _forked,
)
from .errors import (
    ClosedError,
    CorecastError,
    ForkedError,
    InvalidError,
    LostError,
    RefusedError,
    TimedOutError,
    UnreachableError,
)

__all__ = [
    "CaughtUp",
    "ClosedError",
    "ConnectionEvent",
    "ConnectionEvents",
    "CorecastError",
    "ForkedError",
    "Gap",
    "InvalidError",
    "Listed",
    "LostError",
    "Message",
    "Publisher",
    "PublisherChange",
    "RefusedError",
    "RegistryView",
    "Subscriber",
    "TimedOutError",
    "UnreachableError",
]

_os.register_at_fork(after_in_child=_forked)
_exit.register()
