"""Brings real brokers into trouble under a real Prometheus, until each alert of alerts.yml has fired for the broker that has that
trouble, and for no other; then asks Prometheus for each figure of the dashboard. Called by scripts/alerts-test.sh.

Arguments: the command `corecast`, a folder for files of this run, the nats-server, the prometheus.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
CORECAST, FOLDER, NATS, PROMETHEUS = sys.argv[1:5]

# Longest wait for one thing, on a machine that is busy with something else, and for all alerts together.
PATIENCE_S = 60
ALL_S = 240

# Alerts, and the broker that is to have each.
EXPECTED = {
    "CorecastDown": "gone",
    "CorecastSlowSubscribers": "loaded",
    "CorecastDrops": "loaded",
    "CorecastShardSaturated": "loaded",
    "CorecastCertificateExpires": "expiring",
    "CorecastCertificateExpiresSoon": "expiring",
    "CorecastReloadFailed": "expiring",
    "CorecastEngineAway": "near",
    "CorecastEngineGaps": "far",
    "CorecastFewDescriptors": "full",
    "CorecastAcceptErrors": "full",
    "CorecastShardStarved": "starved",
}

# Alerts that such trouble brings along, for the same reason.
ALSO = {
    "CorecastEngineAway": {"far"},
    "CorecastEngineGaps": {"near"},
    "CorecastShardSaturated": {"starved"},
    "CorecastSlowSubscribers": {"starved"},
    "CorecastDrops": {"starved"},
}

children = []
environment = {name: value for name, value in os.environ.items() if not name.startswith("CORECAST_")}
environment["XDG_CONFIG_HOME"] = "/nonexistent"


def say(text):
    print(f"alerts: {text}", flush=True)


def begin(words, name, **options):
    """Starts a process that ends with this one; its errors go to a file."""
    log = open(os.path.join(FOLDER, f"{name}.log"), "ab")
    options.setdefault("stdout", subprocess.DEVNULL)
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log, env=environment, **options)
    log.close()
    children.append(child)
    return child


def end_all():
    for child in reversed(children):
        if child.poll() is None:
            child.kill()
            child.wait()


def wait_until(what, is_so, patience_s=PATIENCE_S):
    """Waits until it is so, and returns what was so."""
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        result = is_so()
        if result:
            return result
        time.sleep(0.2)
    raise SystemExit(f"alerts: FAILED: after {patience_s} s there was still not: {what}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Broker:
    """A broker on loopback, at a free port."""

    def __init__(self, name, *options, runner=(), scheme="tcp"):
        self.name = name
        words = [*runner, CORECAST, "broker", "-o", "json", "--metrics", "127.0.0.1:0"]
        words += ["--listen", f"{scheme}://127.0.0.1:0", *options]
        self.process = begin(words, name, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            log = open(os.path.join(FOLDER, f"{name}.log")).read()
            raise SystemExit(f"alerts: FAILED: the broker {name} did not start:\n{log}")
        ready = json.loads(line)
        self.endpoint, self.metrics = ready["endpoints"][0], ready["metrics"]

    def client(self, command, *words):
        return begin([CORECAST, *command, *words, "--broker", self.endpoint], f"{self.name}-client")

    def page(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def figure(self, name):
        """The sum of a metric over its labels."""
        lines = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.page(), re.MULTILINE)
        return sum(float(value) for value in lines)


class Prometheus:
    def __init__(self, brokers):
        rules = open(os.path.join(HERE, "alerts.yml")).read()
        # A pause of minutes takes seconds here; what the rules say is tested by promtool as it stands.
        rules = re.sub(r"for: \d+m", "for: 2s", rules)
        rules = re.sub(r"\[\d+m\]", "[6s]", rules)
        targets = "".join(
            f"      - targets: ['{broker.metrics}']\n        labels: {{ instance: {broker.name} }}\n" for broker in brokers
        )
        config = (
            "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
            f"rule_files: ['{FOLDER}/rules.yml']\n"
            f"scrape_configs:\n  - job_name: corecast\n    static_configs:\n{targets}"
        )
        for name, text in [("rules.yml", rules), ("prometheus.yml", config)]:
            with open(os.path.join(FOLDER, name), "w") as file:
                file.write(text)
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}/api/v1"
        begin(
            [
                PROMETHEUS,
                f"--config.file={FOLDER}/prometheus.yml",
                f"--storage.tsdb.path={FOLDER}/data",
                f"--web.listen-address={address}",
            ],
            "prometheus",
        )
        wait_until("a Prometheus that answers", lambda: self.ask("status/buildinfo"))
        say(f"Prometheus {self.ask('status/buildinfo')['version']} at {address}")

    def ask(self, path, **query):
        """The data of an answer, or None if there is none (yet)."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            # It listens before it has read what it kept, and says so until then.
            if error.code == 503:
                return None
            raise SystemExit(f"alerts: FAILED: {query}: {error.read().decode()}") from error
        except OSError:
            return None

    def firing(self):
        alerts = (self.ask("alerts") or {"alerts": []})["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"]["instance"]) for alert in alerts if alert["state"] == "firing"
        }

    def value(self, expression):
        return (self.ask("query", query=expression) or {"result": []})["result"]


def make_certificate():
    for words in (["cert", "ca"], ["cert", "server", "127.0.0.1", "--days", "1"]):
        subprocess.run([CORECAST, *words, "--dir", FOLDER], check=True, stdout=subprocess.DEVNULL)


def fill(broker, held):
    """Keeps a broker short of descriptors: connections that say nothing do not last."""
    host, port = broker.endpoint.removeprefix("tcp://").rsplit(":", 1)
    for connection in [held.pop(0) for _ in range(min(len(held), 8))]:
        connection.close()
    while len(held) < 80:
        held.append(socket.create_connection((host, int(port)), timeout=PATIENCE_S))


def starve(broker, core):
    """Gives the core of its shards to something else, at a lower priority of their threads, which needs no rights."""
    tasks = f"/proc/{broker.process.pid}/task"
    for task in os.listdir(tasks):
        if re.fullmatch(r"corecast-\d+", open(f"{tasks}/{task}/comm").read().strip()):
            os.setpriority(os.PRIO_PROCESS, int(task), 19)
    hog = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile os.getppid() == {os.getpid()}: pass"
    begin([sys.executable, "-c", hog], "hog")


def check_dashboard(prometheus):
    """Each figure of the dashboard has values now."""
    dashboard = json.load(open(os.path.join(HERE, "dashboard.json")))
    queries = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [(annotation["name"], annotation["expr"]) for annotation in dashboard["annotations"]["list"]]
    for title, query in queries:
        query = query.replace("$instance", ".*").replace("$__rate_interval", "20s")
        values = prometheus.value(query)
        # Nobody was started again.
        if not values and title != "Starts":
            raise SystemExit(f"alerts: FAILED: the panel {title!r} shows nothing: {query}")
    say(f"{len(queries)} queries of the dashboard are answered")


def check_format(prometheus):
    """Prometheus gets OpenMetrics: the text format has no units and no type `info`."""
    for metric, kind, unit in [("corecast_turn_seconds", "histogram", "seconds"), ("corecast_build", "info", "")]:
        about = wait_until(f"metadata of {metric}", lambda: prometheus.ask("targets/metadata", metric=metric))
        if {(one["type"], one["unit"]) for one in about} != {(kind, unit)}:
            raise SystemExit(f"alerts: FAILED: Prometheus has read this of {metric}: {about}")
    say("Prometheus reads OpenMetrics")


def run():
    core = min(os.sched_getaffinity(0))
    engine_port = free_port()
    engine = begin([NATS, "-a", "127.0.0.1", "-p", str(engine_port)], "nats")
    make_certificate()
    joined = ["--shards", "1", "--engine", f"nats://127.0.0.1:{engine_port}", "--engine-wait"]
    certificate = ["--tls-cert", f"{FOLDER}/server.pem", "--tls-key", f"{FOLDER}/server.key"]
    few = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"']
    well = Broker("well", "--shards", "1")
    gone = Broker("gone", "--shards", "1")
    loaded = Broker("loaded", "--shards", "1")
    expiring = Broker("expiring", "--shards", "1", *certificate, scheme="tls")
    near, far = Broker("near", *joined), Broker("far", *joined)
    full = Broker("full", "--shards", "1", runner=few)
    starved = Broker("starved", "--shards", "2", "--cores", str(core))
    brokers = [well, gone, loaded, expiring, near, far, full, starved]
    prometheus = Prometheus(brokers)
    wait_until("a scrape of each broker", lambda: len(prometheus.value("up == 1")) == len(brokers))
    check_format(prometheus)

    # The one that is well has work, too.
    well.client(["sub", ">"])
    well.client(["pub", "t", "--rate", "100", "--count", "1000000", "--wait-subscribers", "1"])
    # Its own ends by kill -9.
    gone.process.kill()
    gone.process.wait()
    # A subscriber that stands still, others that do not, and publishers at full speed.
    stuck = loaded.client(["sub", ">", "--overflow", "drop-oldest"])
    for _ in range(3):
        loaded.client(["sub", ">", "--overflow", "drop-oldest"])
    wait_until("subscribers", lambda: loaded.figure("corecast_subscriptions") == 4)
    stuck.send_signal(signal.SIGSTOP)
    for _ in range(3):
        loaded.client(["pub", "load", "--size", "256", "--count", "1000000000"])
    # A certificate that ends tomorrow, and then one that is none.
    with open(f"{FOLDER}/server.pem", "w") as file:
        file.write("no certificate\n")
    expiring.process.send_signal(signal.SIGHUP)
    # The engine stands still while messages leave.
    far.client(["sub", ">"])
    wait_until("a subscriber", lambda: far.figure("corecast_subscriptions") == 1)
    near.client(["pub", "t", "--rate", "1000", "--count", "1000000"])
    wait_until("messages over the engine", lambda: far.figure("corecast_engine_received_total") > 100)
    engine.send_signal(signal.SIGSTOP)
    # Its core is needed elsewhere.
    starved.client(["sub", ">"])
    starved.client(["pub", "t", "--rate", "2000", "--count", "1000000", "--wait-subscribers", "1"])
    wait_until("messages", lambda: starved.figure("corecast_deliveries_total") > 100)
    starve(starved, core)

    held, seen, missing = [], set(), set(EXPECTED.items())
    began = time.monotonic()
    while missing:
        if time.monotonic() - began > ALL_S:
            raise SystemExit(f"alerts: FAILED: these did not fire within {ALL_S} s: {sorted(missing)}")
        fill(full, held)
        for alert, name in sorted(prometheus.firing() - seen):
            seen.add((alert, name))
            if EXPECTED.get(alert) != name and name not in ALSO.get(alert, ()):
                raise SystemExit(f"alerts: FAILED: {alert} fired for the broker {name}, which has another trouble, or none")
            say(f"{time.monotonic() - began:.0f} s: {alert} fires for {name}")
            if (alert, name) == ("CorecastEngineAway", "near"):
                engine.send_signal(signal.SIGCONT)
            missing.discard((alert, name))
        time.sleep(0.5)
    check_dashboard(prometheus)
    names = set(re.findall(r"alert: (\w+)", open(os.path.join(HERE, "alerts.yml")).read()))
    if names != set(EXPECTED):
        raise SystemExit(f"alerts: FAILED: nothing here makes these fire: {sorted(names ^ set(EXPECTED))}")
    say(f"ok, {len(EXPECTED)} alerts fired, and none for a broker that is well")


try:
    run()
finally:
    end_all()
