#!/usr/bin/env bash
# Zenoh 1.10.2 (eclipse-zenoh): a router takes 351 sessions, and closes every further one, although `max_sessions` is 1,000.
#
# With shared memory, which is on unless configured otherwise, a router takes a counter in shared memory for each session that offers
# it, over whatever link. Observed on 2026-11-29: the 352nd TCP session from the same host ends during its handshake. The client logs a close with
# reason GENERIC and fails with "Unable to connect"; the router says "No available SHM counters", and only at the level debug. With
# `transport/shared_memory/enabled: false` on both sides all sessions are taken.
#
# Needs python3 with venv and a package index; takes about half a minute. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'eclipse-zenoh==1.10.2'
cat > sessions.py <<'PYTHON'
import json

import zenoh

SESSIONS = 600


def open_session(mode, endpoint, shared_memory):
    config = zenoh.Config()
    config.insert_json5("mode", json.dumps(mode))
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("listen/endpoints" if mode == "router" else "connect/endpoints", json.dumps([endpoint]))
    config.insert_json5("adminspace/enabled", json.dumps(mode == "router"))
    config.insert_json5("transport/shared_memory/enabled", json.dumps(shared_memory))
    return zenoh.open(config)


def run(name, shared_memory):
    router = open_session("router", "tcp/127.0.0.1:0", shared_memory)
    about = json.loads(next(iter(router.get("@/*/router"))).ok.payload.to_string())
    sessions, ending = [], "all are taken"
    try:
        while len(sessions) < SESSIONS:
            sessions.append(open_session("client", about["locators"][0], shared_memory))
    except zenoh.ZError:
        ending = "the next one is closed"
    print(f"{about['version'].split('-')[0]}, {name}: {len(sessions)} sessions, {ending}")
    for session in [*sessions, router]:
        session.close()


run("shared memory as it comes", True)
run("without shared memory", False)
PYTHON
python/bin/python sessions.py 2>/dev/null > seen
cat seen
diff - seen <<'EXPECTED'
v1.10.2, shared memory as it comes: 351 sessions, the next one is closed
v1.10.2, without shared memory: 600 sessions, all are taken
EXPECTED
echo "as described"
