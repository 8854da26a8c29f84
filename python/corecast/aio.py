"""Publishers and subscribers for asyncio.

    async with corecast.aio.Subscriber("tcp://127.0.0.1:6680", "prices.>") as subscriber:
        async for event in subscriber:
            print(event)

A handle belongs to no event loop: it waits in that of the call. Calls of several tasks take turns. A call that is cancelled
loses no event, and has published nothing, unless it was published in that moment.
"""

import asyncio
import itertools
import weakref

from . import _corecast
from .errors import ClosedError, CorecastError

__all__ = ["ConnectionEvents", "Publisher", "RegistryView", "Subscriber"]

_bells = weakref.WeakKeyDictionary()


class _LoopBell:
    """Wakes the tasks of one event loop. The native part rings it without a call into Python."""

    def __init__(self, loop):
        self.bell = _corecast.Bell()
        self.waiting = {}
        self.tokens = itertools.count()
        loop.add_reader(self.bell.fileno(), self.answer)

    def answer(self):
        tokens = self.bell.answer()
        for token in list(self.waiting) if tokens is None else tokens:
            woken = self.waiting.get(token)
            if woken is not None and not woken.done():
                woken.set_result(None)


async def _result(operation):
    """Waits for an operation in this event loop."""
    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _LoopBell(loop)
    token = next(bell.tokens)
    try:
        while True:
            woken = bell.waiting[token] = loop.create_future()
            done = operation.poll(bell.bell, token)
            if done is not None:
                return done[0]
            await woken
    except BaseException:
        operation.cancel()
        raise
    finally:
        bell.waiting.pop(token, None)


class _Handle:
    """A native handle that is opened by `async with` or `await`."""

    _native = None

    def __init__(self, *args, **options):
        self._args = args
        self._options = options
        self._turns = asyncio.Lock()

    async def open(self):
        """Connects. `async with` and `await` do so."""
        if self._native is None:
            self._native = await _result(self._connect(*self._args, **self._options))
        return self

    def __await__(self):
        return self.open().__await__()

    async def __aenter__(self):
        return await self.open()

    @property
    def closed(self):
        """True if it was closed."""
        return self._native is not None and self._native.closed

    def _opened(self):
        if self._native is None:
            raise ClosedError("it is not open yet: use `async with`, or `await` it")
        return self._native

    def connection_events(self):
        """A stream of what becomes of the connection to the broker. Ask for it before a task waits in another call."""
        native = self._opened()
        if self._turns.locked():
            raise CorecastError("a task waits in another call: ask for connection events before")
        return ConnectionEvents(native.connection_events())


class _Stream(_Handle):
    """A handle that is read with `async for`, by its `_next`, until somebody closes it."""

    async def close(self):
        """Ends it. Another task that waits gets `ClosedError`."""
        if self._native is not None:
            self._native.close()

    async def __aexit__(self, *_):
        await self.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self._next()
        except ClosedError:
            if self.closed:
                raise StopAsyncIteration from None
            raise


class Subscriber(_Stream):
    """As `corecast.Subscriber`."""

    _connect = staticmethod(_corecast.Subscriber._connect)

    async def recv(self):
        """The next event. For a time limit use `asyncio.timeout`: no event is lost."""
        native = self._opened()
        if not self._turns.locked():
            event = native.try_recv()
            if event is not None:
                return event
        async with self._turns:
            return await _result(native._recv())

    def try_recv(self):
        """An event that is there now, or None."""
        return None if self._turns.locked() else self._opened().try_recv()

    async def recv_many(self, max_events=1024):
        """As many events as are there, `max_events` at the most: waits for the first."""
        native = self._opened()
        if not self._turns.locked():
            events = native._try_recv_many(max_events)
            if events or max_events == 0:
                return events
        async with self._turns:
            return await _result(native._recv_many(max_events))

    _next = recv


class Publisher(_Handle):
    """As `corecast.Publisher`."""

    _connect = staticmethod(_corecast.Publisher._connect)

    async def publish(self, topic, payload):
        """Publishes a message and returns its sequence number. Waits while too many are queued."""
        native = self._opened()
        if not self._turns.locked():
            sequence = native._offer(topic, payload)
            if sequence is not None:
                return sequence
        async with self._turns:
            return await _result(native._publish(topic, payload))

    async def wait_for_subscribers(self, topic, n=1, timeout=10.0):
        """Waits until at least `n` subscribers of this topic are in force, and returns how many are."""
        async with self._turns:
            return await _result(self._opened()._wait_for_subscribers(topic, n, timeout))

    async def flush(self, timeout=30.0):
        """Waits until the broker has taken for delivery all that was published."""
        async with self._turns:
            await _result(self._opened()._flush(timeout))

    async def close(self, timeout=30.0):
        """Flushes, and ends."""
        if self._native is None:
            return
        async with self._turns:
            closing = self._native._close(timeout)
            if closing is not None:
                await _result(closing)

    async def __aexit__(self, kind, value, traceback):
        if kind is None:
            await self.close()
        elif self._native is not None:
            # The exception that ends the block is what to tell; what is lost besides is a warning.
            await asyncio.to_thread(self._native.__exit__, kind, value, traceback)

    @property
    def id(self):
        """The publisher's number, as 16 hexadecimal digits."""
        return self._opened().id

    @property
    def published(self):
        """The number of messages published: the sequence number of the last."""
        return self._opened().published

    @property
    def unconfirmed(self):
        """The number of messages that no flush or close has confirmed yet."""
        return self._opened().unconfirmed


class RegistryView(_Stream):
    """As `corecast.RegistryView`."""

    _connect = staticmethod(_corecast.RegistryView._connect)

    async def list(self, timeout=5.0):
        """Everybody who is registered now, by publisher."""
        async with self._turns:
            return await _result(self._opened()._list(timeout))

    async def next_change(self):
        """The next change. For a time limit use `asyncio.timeout`: no change is lost."""
        async with self._turns:
            return await _result(self._opened()._next_change())

    _next = next_change


class ConnectionEvents:
    """As `corecast.ConnectionEvents`."""

    def __init__(self, native):
        self._native = native

    async def recv(self):
        """The next event; None: the session has ended for good."""
        return await _result(self._native._recv())

    def __aiter__(self):
        return self

    async def __anext__(self):
        event = await self.recv()
        if event is None:
            raise StopAsyncIteration
        return event
