"""The examples of the pages, as they stand, against a broker."""

import pathlib
import re
import subprocess
import sys

import pytest

from conftest import PATIENCE_SECONDS, ROOT, Broker

README = (ROOT / "python/README.md").read_text()
PAGE = (ROOT / "docs/PYTHON.md").read_text()
PRICES = ["prices.eur.usd 1.0842", "prices.eur.usd 1.0843", "prices.eur.usd 1.0844"]


@pytest.fixture(scope="module")
def both():
    """A broker with a door for ZeroMQ: the address of each kind of client."""
    broker = Broker("--zmtp", "tcp://127.0.0.1:0")
    yield {"corecast": broker.url, "pyzmq": broker.ready["zmtp"][0]}
    broker.kill()


def blocks(page):
    return re.findall(r"```python ?(.*)\n([\s\S]*?)```", page)


def program(kind, name):
    (text,) = [text for title, text in blocks(PAGE) if title == f"{kind} {name}"]
    return text


def start(text, url):
    return subprocess.Popen([sys.executable, "-c", text, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return output


@pytest.mark.parametrize("subscriber", ["subscriber", "asyncio"])
@pytest.mark.parametrize("receiving", ["corecast", "pyzmq"])
@pytest.mark.parametrize("sending", ["corecast", "pyzmq"])
def test_the_programs_of_both_kinds_understand_each_other(both, subscriber, receiving, sending):
    receiver = start(program(receiving, subscriber), both[receiving])
    try:
        # That of pyzmq sends after a second, whoever is there: until one is in force the others wait.
        import corecast

        with corecast.Publisher(both["corecast"]) as watcher:
            watcher.wait_for_subscribers("prices.eur.usd", 1, timeout=PATIENCE_SECONDS)
        finish(start(program(sending, "publisher"), both[sending]))
        assert [receiver.stdout.readline().rstrip("\n") for _ in PRICES] == PRICES
    finally:
        receiver.kill()
        receiver.communicate(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("kind", ["corecast", "pyzmq"])
def test_arrays_arrive(both, kind):
    assert finish(start(program(kind, "arrays"), both[kind])) == "[0. 1. 2. 3.]\n"


def test_the_readmes_programs_work_together(both):
    publisher, *subscribers, arrays = [text for title, text in blocks(README)]
    import corecast

    for subscriber in subscribers:
        receiver = start(subscriber, both["corecast"])
        try:
            with corecast.Publisher(both["corecast"]) as watcher:
                watcher.wait_for_subscribers("prices.eur.usd", 1, timeout=PATIENCE_SECONDS)
            finish(start(publisher, both["corecast"]))
            lines = [receiver.stdout.readline() for _ in range(10)]
            assert lines == [f"prices.eur.usd {price / 10_000:.4f}\n" for price in range(10_840, 10_850)]
        finally:
            receiver.kill()
            receiver.communicate(timeout=PATIENCE_SECONDS)
    assert finish(start(arrays, both["corecast"])) == "[0.   0.25 0.5  0.75 1.  ]\n"


def test_the_program_of_the_first_page_runs_as_it_stands(both):
    (program,) = [text for _, text in blocks((ROOT / "README.md").read_text()) if "import corecast" in text]
    assert finish(start(program, both["corecast"])) == "prices.eur.usd 1.0842\n"


def test_every_program_has_its_counterpart():
    titles = [title for title, _ in blocks(PAGE)]
    assert titles == [f"{kind} {name}" for name in ("subscriber", "publisher", "asyncio", "arrays") for kind in ("pyzmq", "corecast")]


def test_every_public_name_is_typed_and_documented():
    import ast

    import corecast
    import corecast.aio

    package = pathlib.Path(corecast.__file__).parent
    assert (package / "py.typed").exists()
    for module, stub in [(corecast, "__init__.pyi"), (corecast.aio, "aio.pyi")]:
        typed = {node.name: node for node in ast.parse((package / stub).read_text()).body if isinstance(node, ast.ClassDef)}
        for name in module.__all__:
            kind = getattr(module, name)
            assert kind.__doc__, f"{name} has no text"
            if issubclass(kind, Exception):
                continue
            public = {name for name in dir(kind) if not name.startswith("_")}
            in_stub = set()
            for node in [typed[name], *(typed[base.id] for base in typed[name].bases if getattr(base, "id", "") in typed)]:
                in_stub |= {member.name for member in node.body if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))}
            assert public == {member for member in in_stub if not member.startswith("_")}, name


def test_stubs_import_what_the_oldest_python_has():
    import ast
    import importlib

    for stub in ("__init__.pyi", "aio.pyi"):
        for node in ast.walk(ast.parse((ROOT / "python/corecast" / stub).read_text())):
            # Type checkers have typing_extensions of their own.
            if isinstance(node, ast.ImportFrom) and not node.level and node.module != "typing_extensions":
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), f"{stub}, line {node.lineno}"


def test_every_option_is_documented():
    text = (ROOT / "python/src/options.rs").read_text()
    options = set(re.findall(r'^            "(\w+)" => ', text, re.M)) | set(re.findall(r'^        "(\w+)" => ', text, re.M))
    options -= {"live", "last", "all"}
    assert {"ca", "start", "resume", "direct_cores"} <= options
    stub = (ROOT / "python/corecast/__init__.pyi").read_text()
    for option in options:
        assert f"`{option}`" in README, option
        assert f"    {option}: " in stub, option
