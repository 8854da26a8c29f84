"""Brokers to test with: each is the real command, CORECAST_BIN or target/debug/corecast."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CORECAST_BIN") or str(ROOT / "target/debug/corecast")
# A test that hangs is killed by this time, and says where: nothing here takes a tenth of it.
PATIENCE_SECONDS = 60.0


class Broker:
    """A broker as a process, which is ended with the test."""

    def __init__(self, *options, listen="tcp://127.0.0.1:0"):
        self.options = options
        self.url = listen
        self.process = None
        self.start()

    def start(self):
        """Starts it, again at the same address."""
        line = [BINARY, "broker", "-o", "json", "--listen", self.url, "--metrics", "127.0.0.1:0", "--shards", "2", *self.options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CORECAST_")}
        self.process = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
        )
        ready = self.process.stdout.readline()
        assert ready, f"{' '.join(line)}: the broker has not started"
        self.ready = json.loads(ready)
        self.url = self.ready["endpoints"][0]

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)

    def stop(self):
        """Goes on when `resume` is called."""
        self.process.send_signal(19)

    def resume(self):
        self.process.send_signal(18)


@pytest.fixture(scope="session", autouse=True)
def watchdog():
    import faulthandler

    faulthandler.dump_traceback_later(600, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def start_broker():
    """Starts brokers with these options."""
    brokers = []

    def start(*options, **places):
        brokers.append(Broker(*options, **places))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.resume()
        broker.kill()


@pytest.fixture(scope="session")
def broker():
    """A broker that keeps history of `kept.>`, with topics that go direct below `direct.`."""
    started = Broker("--keep", "kept.>=100", "--mode-rule", "direct.>=direct")
    yield started
    started.kill()


@pytest.fixture
def url(broker):
    return broker.url
