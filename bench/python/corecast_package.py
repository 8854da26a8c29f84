"""corecast's Python package as a peer of corecast-bench: the subscribers of a process are tasks of one event loop, and share
a session if the plan says so.

    corecast_package.py PLAN

The broker runs already: whoever starts this has started it, and measures what it costs. The rest is swarm.py's; the plan has
besides:

    broker               the broker's address
    sessions, reactor    options of the package
"""

import asyncio
import json
import platform
import sys
import threading
import time
from importlib.metadata import version

import swarm

import corecast
from corecast import aio


class Package:
    """Through the broker, with the package at both ends."""

    direct = False

    def __init__(self, plan):
        self.broker, self.reactor, self.sessions = plan["broker"], plan["reactor"], plan["sessions"]

    def fan_out(self, pipe):
        pipe.send((self.broker, self.broker, f"{version('corecast')} (Python {platform.python_version()})"))
        while True:
            time.sleep(3600)

    def publish(self, address):
        return corecast.Publisher(address, reactor=self.reactor).publish

    def subscribe(self, address, accounts):
        loop = asyncio.new_event_loop()

        async def receive(account):
            options = {"reactor": self.reactor, "sessions": self.sessions}
            async with aio.Subscriber(address, *account.filters, **options) as subscriber:
                while account.is_open():
                    event = await subscriber.recv()
                    # What a gap says is missing is missing in the account.
                    if isinstance(event, corecast.Message):
                        account.take(bytes(event))

        receiving = [loop.create_task(receive(account)) for account in accounts]
        everybody = asyncio.gather(*receiving)

        def run():
            try:
                loop.run_until_complete(everybody)
            except asyncio.CancelledError:
                pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end():
            if thread.is_alive():
                loop.call_soon_threadsafe(everybody.cancel)
            thread.join()

        return end


if __name__ == "__main__":
    with open(sys.argv[1], encoding="ascii") as text:
        swarm.main(Package(json.load(text)), sys.argv[1])
