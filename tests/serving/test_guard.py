"""Headers of every answer, and who may post."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from podium.serving.guard import Guard


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()

    @app.api_route("/ok", methods=["GET", "POST"])
    async def ok() -> str:
        return "ok"

    @app.get("/broken")
    async def broken() -> str:
        raise ArithmeticError

    return TestClient(Guard(app), "http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ok", 200),
        ("GET", "/gone", 404),
        ("DELETE", "/ok", 405),
        ("GET", "/broken", 500),
        ("GET", "/docs", 200),
    ],
)
def test_every_answer_has_the_headers(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert ("unsafe-inline" in policy) == (path == "/docs")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:8000", 200),
        ("https://127.0.0.1:8000", 200),  # behind a proxy that does TLS
        ("http://127.0.0.1:3000", 403),
        ("http://localhost:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_from_elsewhere_may_not_post(
    client: TestClient, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"origin": origin}
    response = client.post("/ok", headers=headers)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/ok", headers=headers).status_code == 200
