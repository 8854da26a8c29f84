"""A corecast broker as a process, for tests with real ZeroMQ sockets."""
import atexit
import json
import os
import subprocess
import time
import urllib.request


class Broker:
    def __init__(self, *args, doors=("--zmtp",), urls=None, listen="tcp://127.0.0.1:0"):
        urls = urls or ["tcp://127.0.0.1:0"] * len(doors)
        line = [os.environ["CORECAST_BIN"], "broker", "-o", "json", "--listen", listen,
                "--metrics", "127.0.0.1:0", "--shards", "2", *args]
        for door, url in zip(doors, urls):
            line += [door, url]
        env = {k: v for k, v in os.environ.items() if not k.startswith("CORECAST_")}
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
        # A case that fails outside `with` leaves no broker behind.
        atexit.register(self.process.kill)
        ready = json.loads(self.process.stdout.readline())
        self.native, self.zmtp = ready["endpoints"][0], ready["zmtp"]
        self.url, self.metrics = self.zmtp[0], ready["metrics"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=30)

    def count(self, name, *labels):
        """A counter, summed over shards."""
        page = urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10).read().decode()
        lines = [l for l in page.splitlines() if l.startswith(name + "{") and all(part in l for part in labels)]
        return sum(float(l.rsplit(" ", 1)[1]) for l in lines)

    def until(self, so, *what):
        """Waits until `so` holds for a counter."""
        while not so(self.count(*what)):
            time.sleep(0.02)


def corecast(*args, **kwargs):
    """Starts the command as a process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CORECAST_")}
    return subprocess.Popen([os.environ["CORECAST_BIN"], *args], env=env, stdout=subprocess.PIPE, **kwargs)
