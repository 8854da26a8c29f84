"""Opens the live page of a real broker under load in headless Chromium, narrow and wide, light and dark: looks at its layout, and saves
what it looks like. Then it has a page take a day's events, and measures its memory. Called by scripts/page-shots.sh and tests/live.rs.

Arguments: the command `corecast`, a folder for screenshots and logs, the browser; and the number of events, without it those of a day.
"""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

CORECAST, FOLDER, BROWSER = sys.argv[1:4]

# Events that a page takes: the broker sends one a second, so these are of more than a day.
EVENTS = int(sys.argv[4]) if len(sys.argv) > 4 else 100_000

# Longest wait for one thing, on a machine that is busy with something else.
PATIENCE_S = 120

# Events after which the page has all that it keeps: its graph is of two minutes.
EVENTS_WARM = 2_000
# Growth of the page's heap that is noise.
HEAP_GROWTH_BYTES_MAX = 2 << 20

children = []
environment = {name: value for name, value in os.environ.items() if not name.startswith("CORECAST_")}
environment["XDG_CONFIG_HOME"] = "/nonexistent"


def begin(words, name, **options):
    """Starts a process that ends with this one; its errors go to a file."""
    with open(os.path.join(FOLDER, f"{name}.log"), "ab") as log:
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("env", environment)
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log, **options)
    children.append(child)
    return child


def end_all():
    for child in reversed(children):
        if child.poll() is None:
            child.kill()
            child.wait()


def fail(what):
    raise SystemExit(f"page: FAILED: {what}")


class Browser:
    """A Chromium that is told what to do through a pipe, by the protocol of its developer tools."""

    def __init__(self, profile):
        ours, theirs = os.pipe(), os.pipe()

        def become_3_and_4():
            # Neither may be overwritten before it is moved.
            reads, writes = os.dup2(ours[0], 103), os.dup2(theirs[1], 104)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        words = [BROWSER, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        words += ["--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--js-flags=--expose-gc"]
        if os.geteuid() == 0:
            words.append("--no-sandbox")
        process = begin(words + ["about:blank"], "browser", preexec_fn=become_3_and_4, close_fds=False, env=os.environ)
        os.close(ours[0])
        os.close(theirs[1])
        self.process, self.to, self.of, self.bytes, self.number = process, ours[1], theirs[0], b"", 0
        self.faults = []
        self.session = None
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Performance"]:
            self.ask(f"{domain}.enable")

    def _message(self):
        give_up = time.monotonic() + PATIENCE_S
        while b"\0" not in self.bytes:
            if not select.select([self.of], [], [], max(0, give_up - time.monotonic()))[0]:
                fail("the browser does not answer")
            part = os.read(self.of, 1 << 20)
            if not part:
                fail("the browser has ended: see browser.log")
            self.bytes += part
        message, self.bytes = self.bytes.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **params):
        """Does something, and returns the result. What the page complains of meanwhile is a fault."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    fail(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.faults.append(answer["params"]["entry"]["text"] + " " + answer["params"]["entry"].get("url", ""))

    def value(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            fail(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_until(self, what, expression):
        give_up = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            if time.monotonic() > give_up:
                fail(f"after {PATIENCE_S} s there was still not: {what}; the page says {self.value('document.body.innerText')!r}")
            time.sleep(0.1)

    def memory(self):
        """Bytes of the heap and nodes of the document, of what is in use."""
        for _ in range(3):
            self.ask("HeapProfiler.collectGarbage")
        metrics = {metric["name"]: metric["value"] for metric in self.ask("Performance.getMetrics")["metrics"]}
        return metrics["JSHeapUsedSize"], metrics["Nodes"]


def ready_line(process, name):
    line = process.stdout.readline()
    if not line:
        fail(f"{name} did not start:\n" + open(os.path.join(FOLDER, f"{name}.log")).read())
    return json.loads(line)


def start_broker():
    """A broker with publishers, subscribers, and one that stands still; returns the address of its page."""
    words = [CORECAST, "broker", "-o", "json", "--shards", "2", "--listen", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    ready = ready_line(begin([*words, "--egress-bytes", "8MiB"], "broker", stdout=subprocess.PIPE), "broker")
    client = lambda *words: begin([CORECAST, *words, "--broker", ready["endpoints"][0]], "clients")
    for _ in range(12):
        client("sub", "prices.>")
    long_filters = ["sensors.europe.germany.berlin.*.temperature", "sensors.europe.austria.vienna.>", "prices.>"]
    stands_still = [client("sub", *long_filters), client("sub", "video.>", "--overflow", "latest")]
    for topic in ["prices.eur.usd", "prices.eur.chf", "sensors.europe.austria.vienna.centre.roof.temperature", "unheard"]:
        client("pub", topic, "--count", "1000000", "--rate", "200", "--size", "100")
    client("pub", "video.front", "--count", "1000000", "--rate", "20", "--size", "200KiB")
    return f"http://{ready['metrics']}/", stands_still


IS_LIVE = (
    "document.readyState === 'complete' && document.getElementById('live') && !document.getElementById('live').hidden && document.getElementById('state').textContent.endsWith(', live')"
    " && document.querySelectorAll('#slowest tr').length > 5 && document.querySelectorAll('#topics tr').length > 3"
    " && document.getElementById('curve').getAttribute('points').split(' ').length > 8"
)

# What is too wide: the page, or something in it that has no scroll bar of its own.
LAYOUT = """(() => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push("the page is wider than " + width);
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest(".scroll") && !element.matches(".scroll")) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1)) found.push("too wide: " + element.tagName + " " + element.id);
  }
  for (const tile of document.querySelectorAll(".tile")) {
    if (tile.scrollWidth > tile.clientWidth) found.push("cut off: " + tile.textContent);
  }
  for (const scroll of document.querySelectorAll(".scroll")) {
    if (innerWidth < 700 && scroll.scrollWidth > scroll.clientWidth + 1) found.push("hidden at the side: " + scroll.firstChild.id);
  }
  return found;
})()"""


def take_shots(browser, url):
    for colours in ["light", "dark"]:
        for width in [400, 1280]:
            browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])
            browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 700)
            browser.ask("Page.navigate", url=url)
            browser.wait_until("a live page", IS_LIVE)
            wrong = browser.value(LAYOUT)
            if wrong:
                fail(f"{colours}, {width} pixels: {wrong}")
            shot = browser.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            name = os.path.join(FOLDER, f"page-{width}-{colours}.png")
            with open(name, "wb") as file:
                file.write(base64.b64decode(shot))
            print(f"page: {name}", flush=True)
    ink = browser.value("getComputedStyle(document.body).backgroundColor")
    if ink == "rgb(255, 255, 255)":
        fail("the dark page is white")


# In place of the network: events as fast as the page takes them, with other figures and names each time.
A_DAY = """
window.sent = 0;
window.sendUpTo = 0;
window.fetch = async () => {
  const encoder = new TextEncoder();
  const row = (n) => ({ name: "session " + n, user: null, address: "192.0.2.1:" + n, kind: "native", lag_seconds: n % 7, stalled_seconds: 0,
    waiting_messages: n % 11, waiting_bytes: n, messages_out_per_second: n % 1000, drops: n % 3, drops_per_second: 0,
    filters: { count: 1, first: ["a." + n] } });
  const shard = (n, at) => ({ shard: at, core: at, busy_share: 0.5, starved: false, sessions: n, publishers: 1, messages_in_per_second: n,
    messages_out_per_second: n % 997, bytes_out_per_second: n, waiting_bytes: 0, link_items: 0, drops_per_second: 0 });
  const event = (n) => "data: " + JSON.stringify({ version: "0", sessions_total: 4, topics_total: 4,
    shards: [shard(n, 0), shard(n, 1)], slowest: [1, 2, 3, 4].map((k) => row(4 * n + k)),
    topics: [1, 2, 3, 4].map((k) => ({ topic: "t." + (4 * n + k), messages_per_second: n, subscribers: k })) }) + "\\n\\n";
  return new Response(new ReadableStream({ async pull(stream) {
    while (sent >= sendUpTo) await new Promise((resolve) => setTimeout(resolve, 20));
    // A pause for the browser to draw, now and then.
    if (sent % 100 === 0) await new Promise((resolve) => setTimeout(resolve));
    sent += 1;
    stream.enqueue(encoder.encode(event(sent)));
  } }));
};
"""


def stay_open_for_a_day(browser, url):
    browser.ask("Page.addScriptToEvaluateOnNewDocument", source=A_DAY)
    browser.ask("Page.navigate", url=url)
    memory = []
    for events in [EVENTS_WARM, EVENTS]:
        browser.wait_until("the page", "'sent' in window && document.readyState === 'complete'")
        browser.value(f"sendUpTo = {events}")
        give_up = time.monotonic() + 5 * PATIENCE_S
        last = f"document.querySelector('#topics tr:last-child td')?.textContent === 't.{4 * events + 4}'"
        while not browser.value(last):
            if time.monotonic() > give_up:
                fail(f"the page has taken {browser.value('sent')} of {events} events")
            time.sleep(0.5)
        memory.append(browser.memory())
        print(f"page: after {events} events a heap of {memory[-1][0]:.0f} bytes and {memory[-1][1]:.0f} nodes", flush=True)
    (heap_before, nodes_before), (heap, nodes) = memory
    if heap > heap_before + HEAP_GROWTH_BYTES_MAX or nodes > 2 * nodes_before:
        fail("the page grows")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="corecast-page-") as profile:
        try:
            url, stand_still = start_broker()
            browser = Browser(profile)
            for child in stand_still:
                child.send_signal(signal.SIGSTOP)
            take_shots(browser, url)
            stay_open_for_a_day(browser, url)
            if browser.faults:
                fail(f"the page complains: {browser.faults}")
        finally:
            end_all()
    print("page: all is well")


main()
