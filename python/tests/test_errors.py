"""Bad input is an exception with a sentence, and nothing else."""

import socket

import numpy
import pytest

import corecast


def test_the_hierarchy_is_small_and_joins_pythons():
    base = corecast.CorecastError
    for error, python in [
        (corecast.InvalidError, ValueError),
        (corecast.UnreachableError, ConnectionError),
        (corecast.LostError, ConnectionError),
        (corecast.TimedOutError, TimeoutError),
        (corecast.RefusedError, base),
        (corecast.ClosedError, base),
        (corecast.ForkedError, base),
    ]:
        assert issubclass(error, base) and issubclass(error, python)


@pytest.mark.parametrize("payload, name", [("text", "str: encode it"), (3, "int"), (None, "NoneType"), ([1], "list")])
def test_a_payload_is_bytes(url, payload, name):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(TypeError, match=f"a payload is bytes.*not {name}"):
            publisher.publish("t", payload)
        assert publisher.published == 0


def test_a_payload_with_holes_is_refused(url):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(BufferError, match="contiguous"):
            publisher.publish("t", numpy.arange(10)[::2])


def test_a_payload_that_is_too_long_says_how_long_it_may_be(url):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(corecast.InvalidError, match="too long: .* takes"):
            publisher.publish("t", bytes(64 << 20))


@pytest.mark.parametrize(
    "topic, text",
    [("a.*", "wildcards are for filters"), ("a.>", "wildcards are for filters"), ("", "empty"), ("a..b", "empty level"),
     ("a b", "white space"), (b"\x00", "control")],
)
def test_a_topic_is_checked(url, topic, text):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(corecast.InvalidError, match=text) as caught:
            publisher.publish(topic, b"")
        assert caught.value.kind == "invalid"
        with pytest.raises(corecast.InvalidError, match=text):
            publisher.wait_for_subscribers(topic)


def test_a_topic_is_text_or_bytes(url):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(TypeError, match="a topic is a str"):
            publisher.publish(3, b"")


@pytest.mark.parametrize("filters, text", [((), "needs a filter"), (("a.>.b",), ">"), (("",), "empty")])
def test_a_filter_is_checked(url, filters, text):
    with pytest.raises(corecast.InvalidError, match=text):
        corecast.Subscriber(url, *filters)


def test_a_filter_is_text_or_bytes(url):
    with pytest.raises(TypeError, match="a filter is a str"):
        corecast.Subscriber(url, 3)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"colour": "red"}, TypeError, "unexpected keyword argument 'colour'"),
        ({"direct_colour": "red"}, TypeError, "unexpected keyword argument 'direct_colour'"),
        ({"resume": "yes"}, TypeError, "resume is a bool"),
        ({"queue_frames": -1}, TypeError, "queue_frames is a number"),
        ({"overflow": "never"}, corecast.InvalidError, "never"),
        ({"sessions": "one"}, corecast.InvalidError, "per-executor or per-subscriber"),
        ({"start": "first"}, corecast.InvalidError, "start is"),
        ({"start": 0}, corecast.InvalidError, "1 or more"),
        ({"start": True}, corecast.InvalidError, "start is"),
        ({"start": -1.0}, ValueError, "0 or more"),
        ({"connect_timeout": float("nan")}, ValueError, "0 or more"),
        ({"token": "two words"}, corecast.InvalidError, "token"),
        ({"ca": "/nowhere/ca.pem"}, corecast.InvalidError, "/nowhere/ca.pem"),
        ({"key": "k.pem"}, corecast.InvalidError, "key"),
        ({"pin": "sha1:00"}, corecast.InvalidError, "sha"),
        ({"reactor": "kqueue"}, corecast.InvalidError, "auto, io_uring or epoll"),
        ({"direct_cores": "x"}, corecast.InvalidError, "direct_cores"),
    ],
)
def test_an_option_is_checked(url, options, error, text):
    with pytest.raises(error, match=text):
        corecast.Subscriber(url, "t", **options)


def test_none_stands_for_the_default(url):
    corecast.Subscriber(url, "t", token=None, start=None, ca=None).close()


@pytest.mark.parametrize("address", ["", "nonsense://a", "tcp://127.0.0.1:port"])
def test_an_address_is_checked(address):
    with pytest.raises(corecast.InvalidError):
        corecast.Publisher(address)


def test_nobody_at_the_address_is_said_in_time():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(corecast.UnreachableError, match="127.0.0.1") as caught:
            corecast.Subscriber(url, "t", connect_timeout=0.3)
        assert caught.value.kind == "unreachable" and caught.value.code is None


def test_subscribers_that_do_not_come_are_a_time_out(url):
    with corecast.Publisher(url) as publisher:
        with pytest.raises(corecast.TimedOutError, match="0") as caught:
            publisher.wait_for_subscribers("nobody.listens", 3, timeout=0.2)
        assert isinstance(caught.value, TimeoutError)


def test_what_is_closed_says_so(url):
    publisher, subscriber = corecast.Publisher(url), corecast.Subscriber(url, "t")
    for _ in range(2):
        publisher.close()
        subscriber.close()
    assert publisher.closed and subscriber.closed
    for call in (
        lambda: publisher.publish("t", b""), publisher.flush, publisher.clone,
        lambda: publisher.wait_for_subscribers("t"), publisher.connection_events,
        subscriber.recv, subscriber.try_recv, subscriber.recv_many, subscriber.connection_events,
    ):
        with pytest.raises(corecast.ClosedError, match="is closed"):
            call()


def test_users_need_their_token(start_broker, tmp_path):
    import subprocess

    from conftest import BINARY

    users, token = tmp_path / "users.toml", tmp_path / "desk.token"
    subprocess.run(
        [BINARY, "user", "add", "desk", "--users", str(users), "--subscribe", "prices.>", "--token-out", str(token)],
        check=True, stdout=subprocess.DEVNULL,
    )
    broker = start_broker("--users", str(users))
    with pytest.raises(corecast.RefusedError) as caught:
        corecast.Subscriber(broker.url, "prices.>")
    assert caught.value.code == "unauthenticated"
    with corecast.Subscriber(broker.url, "prices.>", token_file=token) as subscriber:
        assert subscriber.recv(timeout=0.01) is None
    with corecast.Subscriber(broker.url, "prices.eur", token=token.read_text().strip()):
        pass
    with pytest.raises(corecast.RefusedError) as caught:
        corecast.Subscriber(broker.url, ">", token_file=token)
    assert caught.value.code == "not_permitted"
    with corecast.Publisher(broker.url, token_file=token) as publisher:
        publisher.publish("prices.eur", b"")
        with pytest.raises(corecast.RefusedError):
            publisher.flush()


def test_a_tls_broker_is_trusted_by_its_authority(start_broker, tmp_path):
    import subprocess

    from conftest import BINARY

    for command in (["cert", "ca"], ["cert", "server", "localhost"]):
        subprocess.run([BINARY, *command], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    broker = start_broker(
        "--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"), listen="tls://localhost:0"
    )
    # The certificate is for this name.
    url = f"tls://localhost:{broker.url.rsplit(':', 1)[1]}"
    with pytest.raises(corecast.CorecastError):
        corecast.Publisher(url, connect_timeout=0.5)
    with corecast.Subscriber(url, "t", ca=tmp_path / "ca.pem") as subscriber:
        with corecast.Publisher(url, ca=str(tmp_path / "ca.pem")) as publisher:
            publisher.publish("t", b"sealed")
            assert bytes(subscriber.recv()) == b"sealed"
