"""Zenoh as a peer of corecast-bench: a router, and a client session for each subscriber and each publisher.

    zenoh_router.py PLAN

All with Zenoh's own defaults, except that nothing is scouted, that a publisher waits for a router which is behind rather
than dropping messages, and that there is no shared memory, for which a router of 1.10.2 runs out of counters at 351
sessions (findings/zenoh_router_closes_the_352nd_session.sh). The rest is swarm.py's.
"""

import json
import sys
import time

import swarm
import zenoh

LOOPBACK = "tcp/127.0.0.1:0"


def open_session(mode, endpoints):
    config = zenoh.Config()
    config.insert_json5("mode", f'"{mode}"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("transport/shared_memory/enabled", "false")
    config.insert_json5("listen/endpoints" if mode == "router" else "connect/endpoints", endpoints)
    config.insert_json5("adminspace/enabled", "true" if mode == "router" else "false")
    config.insert_json5("transport/unicast/max_sessions", "100000")  # limits off
    return zenoh.open(config)


class Router:
    """Through a router."""

    direct = False

    def fan_out(self, pipe):
        session = open_session("router", f'["{LOOPBACK}"]')
        # It says itself where it listens, and in which version: v1.10.2-COMMIT built with …
        answer = next(iter(session.get("@/*/router"))).ok.payload.to_string()
        about = json.loads(answer)
        address, version = about["locators"][0], about["version"].lstrip("v").split("-")[0]
        pipe.send((address, address, version))
        while True:
            time.sleep(3600)

    def publish(self, address):
        session = open_session("client", f'["{address}"]')
        declared = {}

        def send(topic, data):
            if topic not in declared:
                block = zenoh.CongestionControl.BLOCK
                declared[topic] = session.declare_publisher(topic.decode(), congestion_control=block)
            declared[topic].put(data)

        return send

    def subscribe(self, address, accounts):
        def subscriber(account):
            session = open_session("client", f'["{address}"]')

            def take(sample):
                account.take(sample.payload.to_bytes())

            return session, [session.declare_subscriber(key, take) for key in account.filters]

        subscribers = [subscriber(account) for account in accounts]
        return lambda: [session.close() for session, _ in subscribers]


if __name__ == "__main__":
    zenoh.init_log_from_env_or("error")
    swarm.main(Router(), sys.argv[1])
