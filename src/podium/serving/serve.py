"""`podium serve`: a run behind a page, until it is interrupted."""

import socket
import threading
import webbrowser
from contextlib import suppress
from importlib.util import find_spec

from podium.runs.find_run import find_run
from podium.serving.schema import RequestLimits
from podium.system import backend, start_backend

PACKAGES = ("fastapi", "fastapi_offline", "python_multipart", "uvicorn")  # of the extra `web`
FILES = 10_240  # the most that macOS lets a process open
ONLY_HERE = ("127.0.0.1", "localhost", "::1")


def serve(run: str, host: str, port: int, networks: int, examples: int, browser: bool) -> None:
    """Serve a run until Ctrl-C.

    Args:
        run: name or path.
        port: 0 is any free one.
        networks: how many folds' networks are averaged.
        examples: images on the page to try, at the most.
        browser: whether to open the page.

    Raises:
        ValueError: no run, a package is missing, or the port is taken.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ValueError(f"{', '.join(missing)} missing: pip install 'podium[web]'")
    folder = find_run(run)
    with listen(host, port) as listening:  # all mistakes so far cost no time
        print(f"starting {'JAX' if backend() == 'jax' else 'TensorFlow'}", flush=True)
        start_backend()
        import uvicorn

        from podium.serving.app import find_examples, make_app
        from podium.serving.connections import Connection, Server
        from podium.serving.engine import Engine

        print(f"opening {folder.name}", flush=True)
        engine = Engine(folder, networks)
        print("warming up", flush=True)
        engine.warm_up()
        is_local = host in ONLY_HERE
        hosts = [*ONLY_HERE, "[::1]"] if is_local else ["*"]
        shown = find_examples(engine.run, engine.folds[0], examples)
        app = make_app(engine, RequestLimits(), shown, hosts)
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
        print(
            f"{folder.name} is at {address}, its API at {address}docs; Ctrl-C ends it", flush=True
        )
        if not is_local:
            print("warning: anyone who can reach this address can use it", flush=True)
        if browser:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        raise_file_limit()
        # Warnings are about requests that are none: whoever sends them would fill the terminal.
        config = uvicorn.Config(
            app, http=Connection, ws="none", log_level="error", timeout_graceful_shutdown=2
        )
        with suppress(KeyboardInterrupt):  # uvicorn repeats the signal that ended it
            Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Take the address; whoever connects waits until the server runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"cannot listen at {host}:{port} ({error.strerror}): try --port {port + 1}"
        ) from error
    # Send at once what is ready: asyncio asks for it only on sockets that it made itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def raise_file_limit() -> None:
    """Let this process have more connections than the 256 or 1,024 files that are usual."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
