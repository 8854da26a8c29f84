"""The view of a broker's registry: who publishes directly, and where."""

import asyncio
import threading

import pytest

import corecast
from conftest import PATIENCE_SECONDS
from corecast import aio


def change_of(view, publisher, what):
    """The next change of this kind of this publisher: others may come and go meanwhile."""
    while True:
        change = view.next_change(timeout=PATIENCE_SECONDS)
        assert change is not None, f"{what} of {publisher} is not told"
        if (change.publisher, change.what) == (publisher, what):
            return change


def test_a_view_tells_who_comes_and_who_goes(url):
    with corecast.RegistryView(url) as view:
        with corecast.Publisher(url) as publisher:
            publisher.publish("direct.seen", b"")
            up = change_of(view, publisher.id, "up")
            assert up.listed.topics == ["direct.seen"] and up.reason is None
            assert all(endpoint.startswith(("tcp://", "uds://")) for endpoint in up.listed.endpoints)
            assert up.listed.endpoints and up.listed.lease_left is None
            assert publisher.id in repr(up) and "direct.seen" in repr(up.listed)
            listed = {entry.publisher: entry for entry in view.list()}[publisher.id]
            assert listed.epoch >= up.epoch and listed.endpoints == up.listed.endpoints
            assert listed.lease_left > 0
        down = change_of(view, publisher.id, "down")
        assert (down.reason, down.listed) == ("left", None) and 'reason="left"' in repr(down)
        assert publisher.id not in {entry.publisher for entry in view.list()}
        change = view.next_change(timeout=0.05)
        assert change is None or change.publisher != publisher.id
    assert view.closed


def test_a_list_is_not_told_again(url):
    with corecast.Publisher(url) as publisher:
        publisher.publish("direct.once", b"")
        with corecast.RegistryView(url) as view:
            assert publisher.id in {entry.publisher for entry in view.list()}
            change = view.next_change(timeout=0.05)
            assert change is None or change.publisher != publisher.id


def test_a_view_for_asyncio(url):
    async def test():
        async with asyncio.timeout(PATIENCE_SECONDS), aio.RegistryView(url) as view, aio.Publisher(url) as publisher:
            await publisher.publish("direct.aio", b"")
            async for change in view:
                if change.publisher == publisher.id:
                    assert change.what == "up"
                    break
            assert publisher.id in {entry.publisher for entry in await view.list()}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    while True:
                        await view.next_change()
            await publisher.close()
            async for change in view:
                if change.publisher == publisher.id:
                    assert (change.what, change.reason) == ("down", "left")
                    break

    asyncio.run(test())


def test_close_ends_a_loop_of_another_thread(url):
    view, seen = corecast.RegistryView(url), []
    thread = threading.Thread(target=lambda: seen.extend(view))
    thread.start()
    view.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    for call in (view.list, view.next_change, view.connection_events):
        with pytest.raises(corecast.ClosedError, match="view of the registry is closed"):
            call()


def test_a_view_needs_its_broker():
    with pytest.raises(corecast.UnreachableError):
        corecast.RegistryView("tcp://127.0.0.1:1", connect_timeout=0.3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        corecast.RegistryView("tcp://127.0.0.1:1", colour="red")
