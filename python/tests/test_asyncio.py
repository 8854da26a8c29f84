"""The same from tasks of an event loop."""

import asyncio
import gc

import pytest

import corecast
from corecast import aio


def run(test):
    """Runs a test in an event loop of its own, with a limit."""

    async def limited():
        async with asyncio.timeout(60):
            return await test

    return asyncio.run(limited(), debug=False)


def test_async_for_gives_what_is_published(url):
    async def test():
        async with aio.Subscriber(url, "aio.>") as subscriber, aio.Publisher(url) as publisher:
            assert await publisher.wait_for_subscribers("aio.a") == 1
            for n in range(1000):
                assert await publisher.publish("aio.a", n.to_bytes(4, "big")) == n + 1
            await publisher.flush()
            assert publisher.unconfirmed == 0
            received = []
            async for event in subscriber:
                received.append(int.from_bytes(event, "big"))
                if len(received) == 1000:
                    break
            assert received == list(range(1000))
        assert publisher.closed and subscriber.closed

    run(test())


def test_many_come_at_once(url):
    async def test():
        async with aio.Subscriber(url, "aio.many") as subscriber, aio.Publisher(url) as publisher:
            await publisher.wait_for_subscribers("aio.many")

            async def publish():
                for n in range(20_000):
                    await publisher.publish("aio.many", n.to_bytes(4, "big"))
                    if n % 500 == 0:
                        await asyncio.sleep(0)

            publishing = asyncio.create_task(publish())
            received = []
            while len(received) < 20_000:
                received += [int.from_bytes(event, "big") for event in await subscriber.recv_many()]
            await publishing
            assert received == list(range(20_000))

    run(test())


def test_a_cancelled_wait_loses_nothing(url):
    async def test():
        async with aio.Subscriber(url, "aio.cancel") as subscriber, aio.Publisher(url) as publisher:
            await publisher.wait_for_subscribers("aio.cancel")
            received, cancelled = [], 0
            for n in range(300):
                waiting = asyncio.create_task(subscriber.recv())
                await asyncio.sleep(0)
                await publisher.publish("aio.cancel", n.to_bytes(4, "big"))
                # Cancelled before, while, or after it comes.
                if n % 3:
                    await asyncio.sleep(0.0005 * (n % 5))
                waiting.cancel()
                try:
                    received.append(int.from_bytes(await waiting, "big"))
                except asyncio.CancelledError:
                    cancelled += 1
            while len(received) < 300:
                received.append(int.from_bytes(await subscriber.recv(), "big"))
            assert received == list(range(300))
            assert 0 < cancelled

    run(test())


def test_a_time_limit_is_asyncios(url):
    async def test():
        async with aio.Subscriber(url, "aio.quiet") as subscriber:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await subscriber.recv()
            async with aio.Publisher(url) as publisher:
                await publisher.publish("aio.quiet", b"later")
                assert bytes(await subscriber.recv()) == b"later"

    run(test())


def test_an_exception_in_the_loop_ends_it_in_order(url):
    async def test():
        with pytest.raises(ZeroDivisionError):
            async with aio.Subscriber(url, "aio.trouble") as subscriber, aio.Publisher(url) as publisher:
                await publisher.publish("aio.trouble", b"")
                async for _ in subscriber:
                    1 / 0
        assert subscriber.closed and publisher.closed

    run(test())


def test_tasks_take_turns(url):
    async def test():
        async with aio.Subscriber(url, "aio.turns") as subscriber, aio.Publisher(url) as publisher:
            await publisher.wait_for_subscribers("aio.turns")
            waiting = [asyncio.create_task(subscriber.recv()) for _ in range(10)]
            await asyncio.sleep(0)
            for n in range(10):
                await publisher.publish("aio.turns", bytes([n]))
            assert [bytes(await task)[0] for task in waiting] == list(range(10))

    run(test())


def test_many_subscribers_wait_in_one_loop(url):
    async def test():
        subscribers = [aio.Subscriber(url, "aio.wide") for _ in range(200)]
        await asyncio.gather(*(subscriber.open() for subscriber in subscribers))
        waiting = [asyncio.create_task(subscriber.recv()) for subscriber in subscribers]
        async with aio.Publisher(url) as publisher:
            await publisher.publish("aio.wide", b"to all")
            assert {bytes(event) for event in await asyncio.gather(*waiting)} == {b"to all"}
        for subscriber in subscribers:
            await subscriber.close()

    run(test())


def test_close_ends_the_wait_of_another_task(url):
    async def test():
        subscriber = await aio.Subscriber(url, "aio.quiet")

        async def all_events():
            return [event async for event in subscriber]

        waiting = asyncio.create_task(all_events())
        await asyncio.sleep(0.01)
        await subscriber.close()
        assert await waiting == []
        with pytest.raises(corecast.ClosedError):
            await subscriber.recv()

    run(test())


def test_it_must_be_opened(url):
    async def test():
        with pytest.raises(corecast.ClosedError, match="not open yet"):
            await aio.Subscriber(url, "t").recv()
        with pytest.raises(corecast.InvalidError):
            await aio.Subscriber(url, "a.>.b")
        with pytest.raises(corecast.UnreachableError):
            await aio.Publisher("tcp://127.0.0.1:1", connect_timeout=0.2)

    run(test())


def test_a_cancelled_connect_leaves_nothing(url):
    async def test():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await aio.Publisher("tcp://127.0.0.1:1", connect_timeout=60)

    run(test())


def test_a_handle_outlives_its_loop(url):
    async def opened():
        return await aio.Subscriber(url, "aio.loops"), await aio.Publisher(url)

    async def used(subscriber, publisher, payload):
        await publisher.publish("aio.loops", payload)
        return bytes(await subscriber.recv())

    subscriber, publisher = run(opened())
    assert [run(used(subscriber, publisher, payload)) for payload in (b"1", b"2")] == [b"1", b"2"]
    run(publisher.close())
    run(subscriber.close())
    gc.collect()


def test_connection_events_come_beside(url):
    async def test():
        async with aio.Subscriber(url, "t") as subscriber:
            async for event in subscriber.connection_events():
                assert event.what == "connected"
                break

    run(test())


def test_history_and_gaps_come_too(url):
    async def test():
        async with aio.Publisher(url) as publisher:
            await publisher.publish("kept.aio", b"kept")
            await publisher.flush()
            async with aio.Subscriber(url, "kept.aio", start="last") as subscriber:
                assert (await subscriber.recv()).from_history
                assert isinstance(await subscriber.recv(), corecast.CaughtUp)

    run(test())


def test_the_loop_goes_on_while_a_publisher_waits_for_a_broker_that_hangs(start_broker):
    broker = start_broker()

    async def test():
        publisher = await aio.Publisher(broker.url, publish_timeout=60)
        await publisher.publish("t", b"")
        broker.stop()
        turns = 0

        async def flood():
            while True:
                await publisher.publish("t", bytes(100_000))

        flooding = asyncio.create_task(flood())
        while turns < 50:
            await asyncio.sleep(0.01)
            turns += 1
        assert not flooding.done()
        flooding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flooding
        broker.resume()
        await publisher.close()

    run(test())
