"""What arrives, and in which form."""

import numpy
import pytest

import corecast
from corecast import CaughtUp, Gap, Message


def pair(url, topic, *filters, **options):
    subscriber = corecast.Subscriber(url, *(filters or (topic,)), **options)
    publisher = corecast.Publisher(url)
    publisher.wait_for_subscribers(topic, 1)
    return publisher, subscriber


def test_a_message_arrives_with_all_that_is_known_of_it(url):
    publisher, subscriber = pair(url, "prices.eur.usd", "prices.>")
    with publisher, subscriber:
        assert publisher.publish("prices.eur.usd", b"1.0842") == 1
        message = subscriber.recv()
        assert isinstance(message, Message)
        assert (message.topic, message.topic_bytes) == ("prices.eur.usd", b"prices.eur.usd")
        assert (bytes(message), len(message), message.payload) == (b"1.0842", 6, b"1.0842")
        assert (message.publisher, message.sequence) == (publisher.id, 1)
        assert message.sent_at_ns > 1_700_000_000_000_000_000
        assert not message.from_history and not message.multipart
        assert message.parts == [b"1.0842"]
        assert "prices.eur.usd" in repr(message) and "6 bytes" in repr(message)


def test_any_contiguous_buffer_is_a_payload(url):
    publisher, subscriber = pair(url, "buffers")
    numbers = numpy.arange(6, dtype=numpy.float64).reshape(2, 3)
    with publisher, subscriber:
        for payload in (b"", b"bytes", bytearray(b"array"), memoryview(b"view")[1:], numbers, numbers[1]):
            publisher.publish("buffers", payload)
            assert bytes(subscriber.recv()) == bytes(payload)


def test_an_array_is_read_without_a_copy_and_keeps_its_message(url):
    publisher, subscriber = pair(url, "arrays")
    with publisher, subscriber:
        sent = numpy.random.default_rng(1).standard_normal(100_000)
        publisher.publish("arrays", sent)
        message = subscriber.recv()
        received = numpy.frombuffer(message, dtype=numpy.float64)
        assert (received == sent).all()
        again = numpy.frombuffer(message.payload, dtype=numpy.float64)
        assert received.ctypes.data == again.ctypes.data, "both are the bytes of the message"
        assert not received.flags.writeable and not received.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            received[0] = 1.0
        del message
        assert (received == sent).all(), "the array keeps the message"


def test_a_message_may_itself_be_published(url):
    publisher, subscriber = pair(url, "echo.a", "echo.>")
    with publisher, subscriber:
        publisher.publish("echo.a", b"there and back")
        publisher.publish("echo.b", subscriber.recv())
        assert (m := subscriber.recv()).topic == "echo.b" and bytes(m) == b"there and back"


def test_many_come_at_once_in_order(url):
    publisher, subscriber = pair(url, "many")
    with publisher, subscriber:
        for n in range(10_000):
            publisher.publish("many", n.to_bytes(4, "big"))
        received, calls = [], 0
        while len(received) < 10_000:
            events = subscriber.recv_many(500, timeout=30)
            assert 0 < len(events) <= 500
            received += [int.from_bytes(event, "big") for event in events]
            calls += 1
        assert received == list(range(10_000))
        assert calls < 2_000, "several come at once"
        assert subscriber.recv_many(timeout=0.05) == []
        assert subscriber.recv_many(0) == []
        assert subscriber.recv(timeout=0.0) is None and subscriber.try_recv() is None


def test_a_filter_of_bytes_is_a_prefix(url):
    publisher, subscriber = pair(url, "prefix.abc", b"prefix.a")
    with publisher, subscriber:
        for topic in ("prefix.abc", "prefix.b", b"prefix.a"):
            publisher.publish(topic, b"")
        assert [subscriber.recv().topic for _ in range(2)] == ["prefix.abc", "prefix.a"]


def test_a_slow_subscriber_is_told_what_it_missed(url):
    publisher, subscriber = pair(url, "fast", queue_frames=64)
    with publisher, subscriber:
        for n in range(100_000):
            publisher.publish("fast", b"x" * 100)
        publisher.flush()
        missed = received = 0
        reasons = set()
        while missed + received < 100_000:
            for event in subscriber.recv_many(timeout=30):
                if isinstance(event, Gap):
                    assert event.topic in ("fast", None) and event.missed > 0
                    assert f"missed={event.missed}" in repr(event)
                    missed += event.missed
                    reasons.add(event.reason)
                else:
                    received += 1
        assert missed > 0 and received > 0
        assert missed + received == 100_000, "each message is received, or counted as missed"
        assert reasons <= {"subscriber", "overflow"}


def test_under_block_nothing_is_missed(start_broker):
    broker = start_broker("--overflow", "block")
    publisher, subscriber = pair(broker.url, "all", overflow="block", queue_frames=64)
    with subscriber:
        import threading

        def publish():
            with publisher:
                for n in range(50_000):
                    publisher.publish("all", n.to_bytes(4, "big"))

        thread = threading.Thread(target=publish)
        thread.start()
        received = []
        while len(received) < 50_000:
            received += [int.from_bytes(event, "big") for event in subscriber.recv_many(timeout=30)]
        thread.join()
        assert received == list(range(50_000))


@pytest.mark.parametrize("start, expected", [("last", [9]), (3, [7, 8, 9]), ("all", list(range(10))), (3600.0, list(range(10)))])
def test_history_comes_first_and_says_when_it_ends(url, start, expected):
    topic = f"kept.{start}".replace(".0", "")
    with corecast.Publisher(url) as publisher:
        for n in range(10):
            publisher.publish(topic, bytes([n]))
        publisher.flush()
        with corecast.Subscriber(url, topic, start=start) as subscriber:
            history = [subscriber.recv() for _ in expected]
            assert [bytes(message)[0] for message in history] == expected
            assert all(message.from_history for message in history)
            assert isinstance(subscriber.recv(), CaughtUp)
            publisher.publish(topic, b"live")
            live = subscriber.recv()
            assert bytes(live) == b"live" and not live.from_history


def test_topics_that_go_direct_need_no_other_code(url):
    publisher, subscriber = pair(url, "direct.a", "direct.>")
    with publisher, subscriber:
        for n in range(1000):
            publisher.publish("direct.a", n.to_bytes(4, "big"))
        assert [int.from_bytes(subscriber.recv(), "big") for _ in range(1000)] == list(range(1000))


@pytest.mark.parametrize("reactor", ["io_uring", "epoll"])
def test_both_reactors_bring_messages(url, reactor):
    with corecast.Subscriber(url, "reactor", reactor=reactor) as subscriber:
        with corecast.Publisher(url, reactor=reactor) as publisher:
            for n in range(1000):
                publisher.publish("reactor", n.to_bytes(4, "big"))
        assert [int.from_bytes(subscriber.recv(), "big") for _ in range(1000)] == list(range(1000))


def test_one_of_several_brokers_will_do(url):
    with corecast.Subscriber(f"tcp://127.0.0.1:1,{url}", "one.of") as subscriber, corecast.Publisher(url) as publisher:
        publisher.publish("one.of", b"the second")
        assert bytes(subscriber.recv()) == b"the second"


def test_a_loop_over_a_subscriber_ends_when_it_is_closed(url):
    publisher, subscriber = pair(url, "loop")
    with publisher:
        for n in range(3):
            publisher.publish("loop", bytes([n]))
        seen = []
        for message in subscriber:
            seen.append(bytes(message)[0])
            if len(seen) == 3:
                subscriber.close()
        assert seen == [0, 1, 2]
        assert subscriber.closed
