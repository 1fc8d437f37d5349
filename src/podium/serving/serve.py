"""`podium serve`: a run behind a page, until it is interrupted."""

import socket
import threading
import webbrowser

import uvicorn

from podium import paths
from podium.runs.find_run import find_run
from podium.serving.limits import RequestLimits
from podium.system import import_tensorflow

HOW_TO_GET_ONE = (
    "`make prototype` trains the sample and serves it, or `podium sample` and `podium train "
    "sample-b0` make one (about five minutes); `podium entries` lists what else can be trained"
)
ONLY_HERE = ("127.0.0.1", "localhost", "::1")
CONNECTIONS = 500  # open ones, those that only wait included


def serve(
    run: str | None,
    host: str,
    port: int,
    networks: int,
    examples: int,
    limits: RequestLimits,
    browser: bool,
) -> None:
    """Answer until Ctrl-C.

    Args:
        run: name or path; None is refused with a list of those there are.
        host: the address to listen at; port 0 is any free one.
        networks: how many folds' networks are averaged.
        examples: images on the page to try, at the most.
        browser: whether to open the page.

    Raises:
        ValueError: no run, or the port is taken.
    """
    folder = find_run(_named(run))
    with listen(host, port) as listening:  # what is wrong so far was told at once
        import_tensorflow()
        from podium.serving.app import make_app
        from podium.serving.engine import Engine
        from podium.serving.examples import find_examples

        engine = Engine(folder, networks)
        print("warming up", flush=True)
        engine.warm_up()
        hosts = [host, *ONLY_HERE, "[::1]"] if host in ONLY_HERE else ["*"]
        app = make_app(engine, limits, find_examples(engine, examples), hosts)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        listening.listen()
        said = f"{folder.name} is at {address}, its API at {address}docs; Ctrl-C ends it"
        print(said, flush=True)
        if host not in ONLY_HERE:
            print("warning: anyone who can reach this address can use it", flush=True)
        if browser:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=5,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _named(run: str | None) -> str:
    there = sorted(path.parent.name for path in paths.runs().glob("*/run.json"))
    if run is None and there:
        raise ValueError(f"which run? `podium serve RUN`; there are: {', '.join(there)}")
    if run is None or not (there or "/" in run):
        raise ValueError(f"there is no run in {paths.runs()} yet: {HOW_TO_GET_ONE}")
    return run


def listen(host: str, port: int) -> socket.socket:
    """The address taken, and nobody let in yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol: asyncio knows by it where to send at once what is ready (TCP_NODELAY).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ValueError(
            f"cannot listen at {host}:{port} ({error.strerror}); another one is --port {port + 1}"
        ) from error
    return listening
