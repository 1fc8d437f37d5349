"""What is told before anything goes to a cluster: no Ray, no cluster, strangers; nothing is run."""

import socket
import sys

import pytest

from podium.training.cluster.ray_pool import NoCluster, RayPool, warn_of_strangers


def test_without_ray_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NoCluster, match=r"^--ray needs Ray: pip install 'podium\[ray\]'$"):
        RayPool("auto")


def test_where_nothing_listens_it_says_so_at_once() -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(NoCluster, match=rf"^--ray {address}: .*docs/cluster.md says"):
            RayPool(address)


@pytest.mark.parametrize(
    ("hosts", "mode", "warned"),
    [
        (["10.0.0.5", "127.0.0.1", "192.168.1.20", "head", "fd00::1"], "", False),
        (["10.0.0.5", "8.8.8.8"], "", True),
        (["[2001:4860:4860::8888]"], "", True),
        (["8.8.8.8"], "token", False),
    ],
)
def test_a_public_address_without_a_token_is_warned_of(
    hosts: list[str],
    mode: str,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    warn_of_strangers(hosts)
    assert ("is a public address" in capsys.readouterr().out) is warned
