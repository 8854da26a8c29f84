"""libzmq's XPUB/XSUB proxy as a peer of corecast-bench: zmq.proxy runs in C, without Python's lock.

    zmq_proxy.py ADDRESS ADDRESS     publishers connect to the first, subscribers to the second; tcp://HOST:* or ipc://PATH

Prints one line of JSON when it serves.
"""

import json
import sys

import zmq


def main():
    context = zmq.Context(io_threads=1)  # libzmq's default, and its guide's advice up to a gigabyte a second
    context.set(zmq.MAX_SOCKETS, 65535)
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for socket in (front, back):
        # Limits off: an XPUB drops messages for a subscriber at its high-water mark.
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        # As many new connections as the kernel lets wait: the default is 100.
        socket.set(zmq.BACKLOG, 4096)
        socket.set(zmq.LINGER, 0)
    # No delay: libzmq sets TCP_NODELAY on every connection by itself.
    front.bind(sys.argv[1])
    back.bind(sys.argv[2])
    where = {"publish": front.get_string(zmq.LAST_ENDPOINT), "subscribe": back.get_string(zmq.LAST_ENDPOINT)}
    print(json.dumps({**where, "version": zmq.zmq_version(), "pyzmq": zmq.pyzmq_version()}), flush=True)
    zmq.proxy(front, back)


main()
