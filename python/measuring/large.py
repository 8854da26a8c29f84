"""Large payloads to several processes."""

import itertools
import struct
import tempfile
import time

from figures import in_turns, ratios, target, tell, warm_up
from processes import PATIENCE_S, SPAWN, Failed, Processes

TOPIC = "measured.topic"
LARGE_BYTES = 1 << 20
LARGE_PROCESSES = 4
# As many messages may be on their way to the slowest process.
LARGE_WINDOW = 8
# Payloads that differ: a message that is lost is seen by its number.
LARGE_PAYLOADS = 4 * LARGE_WINDOW
PROBE = b"probe"


def large_payloads():
    return [struct.pack(">Q", number) + bytes(LARGE_BYTES - 16) + struct.pack(">Q", number) for number in range(LARGE_PAYLOADS)]


class Windowed:
    """A publisher's side: it sends while fewer than a window are on their way to the slowest process."""

    def __init__(self, counts):
        self.counts, self.sent = counts, 0

    def wait(self):
        while self.sent - min(self.counts) >= LARGE_WINDOW:
            time.sleep(0.0001)
        self.sent += 1


def send_large(send, counts, go):
    while not go.wait(0.05):
        send(PROBE)
    window = Windowed(counts)
    for payload in itertools.cycle(large_payloads()):
        window.wait()
        send(payload)


def take_large(receive, index, counts, heard):
    """Counts payloads, each of which must be the next."""
    expected = 0
    while True:
        payload = receive()
        if len(payload) == len(PROBE):
            heard.release()
            continue
        first, last = struct.unpack(">Q", payload[:8])[0], struct.unpack(">Q", payload[-8:])[0]
        if first != last or first != expected % LARGE_PAYLOADS or len(payload) != LARGE_BYTES:
            raise Failed(f"payload {first} of {len(payload)} bytes has come in place of {expected % LARGE_PAYLOADS}")
        expected += 1
        counts[index] = expected


def send_large_by_package(url, counts, go, direct):
    import corecast

    options = {"direct_listen": direct} if direct else {}
    publisher = corecast.Publisher(url, **options)
    publisher.wait_for_subscribers(TOPIC, LARGE_PROCESSES)
    send_large(lambda payload: publisher.publish(TOPIC, payload), counts, go)


def take_large_by_package(url, index, counts, heard):
    import corecast

    subscriber = corecast.Subscriber(url, TOPIC, overflow="block")

    def receive():
        event = subscriber.recv()
        if type(event) is not corecast.Message:
            raise Failed(f"{event!r}")
        return event.payload

    take_large(receive, index, counts, heard)


def send_large_by_pyzmq(url, counts, go, binds):
    import zmq

    out = zmq.Context().socket(zmq.PUB)
    out.set_hwm(0)
    (out.bind if binds else out.connect)(url)
    topic = TOPIC.encode()
    send_large(lambda payload: out.send_multipart([topic, payload], copy=False), counts, go)


def take_large_by_pyzmq(url, index, counts, heard):
    import zmq

    incoming = zmq.Context().socket(zmq.SUB)
    incoming.set_hwm(0)
    incoming.connect(url)
    incoming.subscribe(TOPIC.encode())
    take_large(lambda: incoming.recv_multipart(copy=False)[1].buffer, index, counts, heard)


def large(options, systems):
    """Payloads a second to all processes together."""
    with Processes(options) as processes, tempfile.TemporaryDirectory() as folder:
        counts = SPAWN.RawArray("Q", LARGE_PROCESSES)
        heard = [SPAWN.Semaphore(0) for _ in range(LARGE_PROCESSES)]
        go = SPAWN.Event()
        (send, *send_at), (take, take_at) = systems(processes, folder)
        takers = [
            processes.role(take, take_at, index, counts, heard[index], receives=True) for index in range(LARGE_PROCESSES)
        ]
        sender = processes.role(send, send_at[0], counts, go, *send_at[1:])
        until = time.monotonic() + PATIENCE_S
        for index, one in enumerate(heard):
            if not one.acquire(timeout=max(0.1, until - time.monotonic())):
                for role in (sender, takers[index]):
                    role.complain()
                raise Failed("not every process hears the publisher")
        go.set()
        time.sleep(warm_up(options.seconds))
        before, began = sum(counts), time.monotonic()
        time.sleep(options.seconds)
        after, ended = sum(counts), time.monotonic()
        if min(counts) == 0 or after == before:
            for role in (sender, *takers):
                role.complain()
            raise Failed("nothing arrives")
        return (after - before) / (ended - began)


def through_broker(processes, folder):
    url = processes.broker(f"uds://{folder}/broker", "--overflow", "block")
    return (send_large_by_package, url, None), (take_large_by_package, url)


def direct(processes, folder):
    url = processes.broker(f"uds://{folder}/broker", "--overflow", "block", "--mode", "direct")
    return (send_large_by_package, url, f"uds://{folder}/publisher"), (take_large_by_package, url)


def through_proxy(processes, folder):
    into, out = processes.proxy(f"ipc://{folder}/in", f"ipc://{folder}/out", 0)
    return (send_large_by_pyzmq, into, False), (take_large_by_pyzmq, out)


def straight(_, folder):
    return (send_large_by_pyzmq, f"ipc://{folder}/pub", True), (take_large_by_pyzmq, f"ipc://{folder}/pub")


def row_large(options):
    print(f"1 MiB to {LARGE_PROCESSES} processes over Unix sockets for {options.seconds} s; at most {LARGE_WINDOW} messages are on their way")
    kinds = {
        "pyzmq through libzmq's proxy": lambda: large(options, through_proxy),
        "corecast through the broker": lambda: large(options, through_broker),
        "pyzmq straight from the publisher": lambda: large(options, straight),
        "corecast straight from the publisher": lambda: large(options, direct),
    }
    rates = in_turns(options, kinds)
    for kind, each in rates.items():
        tell(kind, each, "MiB/s in all")
    proxy, broker, bare, own = rates.values()
    yield target("through the broker over through the proxy", ratios(broker, proxy), ">=", 1.5)
    yield target("straight over straight", ratios(own, bare), ">=", 1.5)
