"""Whether the packages of the extra `web` are installed."""

from importlib.util import find_spec

NEEDED = ("fastapi", "fastapi_offline", "python_multipart", "uvicorn")


def require_web_packages() -> None:
    """Raises ValueError where one is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing: pip install 'podium[web]'")
