"""The processes of a measurement: brokers, libzmq's proxy, and roles that a Python of its own plays."""

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess

SPAWN = multiprocessing.get_context("spawn")
LOOPBACK = "tcp://127.0.0.1"
# A measurement that hangs is ended by an alarm, and is an error.
PATIENCE_S = 120
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A measurement that could not be made."""


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def on_cores(cores):
    end_with_parent()
    os.sched_setaffinity(0, cores)


def in_process(pipe, cores, role, *arguments):
    """The whole of a process of ours: what its role returns goes through the pipe, what it raises too."""
    on_cores(cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(PATIENCE_S)
    try:
        pipe.send((role(*arguments), None))
    except (Exception, SystemExit) as error:  # the parent says it
        pipe.send((None, f"{type(error).__name__}: {error}"))


class Role:
    """A role that a process of its own plays."""

    def __init__(self, name, pipe):
        self.name, self.pipe = name, pipe

    def result(self, patience_s=PATIENCE_S):
        """Waits for what it returns."""
        try:
            if not self.pipe.poll(patience_s):
                raise Failed(f"{self.name} says nothing for {patience_s} s")
            value, error = self.pipe.recv()
        except EOFError:
            raise Failed(f"{self.name} has ended without a word") from None
        if error:
            raise Failed(f"{self.name}: {error}")
        return value

    def complain(self):
        """Says why it has ended, if it has, where it should go on."""
        if self.pipe.poll():
            self.result()


class Processes:
    """The processes of one measurement: when it is over they are ended, each of them."""

    def __init__(self, options):
        self.options, self.ends = options, contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends.close()

    def role(self, role, *arguments, receives=False):
        """Starts a role in a Python of its own."""
        here, there = SPAWN.Pipe()
        cores = self.options.receiver_cores if receives else self.options.other_cores
        process = SPAWN.Process(target=in_process, args=(there, cores, role, *arguments), daemon=True)
        process.start()
        there.close()

        def end():
            process.kill()
            process.join()

        self.ends.callback(end)
        return Role(role.__name__, here)

    def command(self, *line, **streams):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CORECAST_")}
        process = subprocess.Popen(
            line, env=environment, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=lambda: on_cores(self.options.other_cores), **streams,
        )

        def end():
            process.kill()
            process.communicate()

        self.ends.callback(end)
        return process

    def broker(self, listen=f"{LOOPBACK}:0", *more):
        """Starts our broker, as it is without options but for its shards: one, as libzmq's proxy has one thread."""
        line = [self.options.corecast, "broker", "-o", "json", "--listen", listen, "--metrics", "127.0.0.1:0", "--shards", "1", *more]
        ready = self.command(*line, stdout=subprocess.PIPE).stdout.readline()
        if not ready:
            raise Failed(f"{' '.join(line)}: it does not start")
        return json.loads(ready)["endpoints"][0]

    def proxy(self, into=f"{LOOPBACK}:*", out=f"{LOOPBACK}:*", limit=None):
        """Starts libzmq's proxy; returns its two addresses."""
        here, there = SPAWN.Pipe()
        self.role(proxy, there, into, out, limit)
        there.close()
        if not here.poll(PATIENCE_S):
            raise Failed("libzmq's proxy does not start")
        return here.recv()


def proxy(pipe, into, out, limit):
    import zmq

    context = zmq.Context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for end, address in ((front, into), (back, out)):
        if limit is not None:
            end.set_hwm(limit)
        end.bind(address)
    pipe.send([end.get_string(zmq.LAST_ENDPOINT) for end in (front, back)])
    zmq.proxy(front, back)
