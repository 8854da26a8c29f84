"""Weather by place: python weather.py publish URL [PLACES], or python weather.py average URL PLACE [REPORTS].

A report is one part, `PLACE TEMPERATURE HUMIDITY`, for places 0 to PLACES - 1 in turn. Subscribers ask for one place,
with the blank behind it, and average its temperature. Run `corecast broker --zmtp tcp://127.0.0.1:5555` first.
"""
import itertools
import random
import sys
import time

import zmq


def publish(url, places="100"):
    socket = zmq.Context().socket(zmq.PUB)
    socket.connect(url)
    for place in itertools.cycle(range(int(places))):
        socket.send_string(f"{place} {random.randint(-20, 40)} {random.randint(10, 100)}")
        if place == 0:
            time.sleep(0.01)


def average(url, place, reports="20"):
    socket = zmq.Context().socket(zmq.SUB)
    socket.connect(url)
    socket.subscribe(f"{place} ")
    temperatures = [int(socket.recv_string().split()[1]) for _ in range(int(reports))]
    print(f"average at {place}: {sum(temperatures) / len(temperatures):.1f} over {reports} reports")


if __name__ == "__main__":
    {"publish": publish, "average": average}[sys.argv[1]](*sys.argv[2:])
