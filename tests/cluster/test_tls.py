"""`mq9fast cluster start` with certificates: nothing between nodes goes in plain text, or to a stranger."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from mq9fast.cluster import seeding
from mq9fast.cluster.transfer_protocol import TransferError
from tests.support.certificates import Certificates
from tests.support.counted_sends import sends_survive
from tests.support.local_cluster import NAMES, LocalCluster, needs_nodes

pytestmark = needs_nodes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[LocalCluster]:
    files = (certificates.cert_path("server"), certificates.key_path("server"), certificates.cert_path("ca"))
    flags = [
        word for pair in zip(("--tls-cert", "--tls-key", "--tls-ca"), files, strict=True) for word in pair
    ]
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), flags=flags)
    yield cluster
    cluster.end()


def test_cluster_works(cluster: LocalCluster) -> None:
    """A store is copied, too."""

    def forget(cluster: LocalCluster) -> None:
        standby = next(name for name in NAMES if name != cluster.owner())
        cluster.stop(standby)
        cluster.forget_data(standby)
        cluster.start(standby)
        cluster.wait_until_whole()

    sends_survive(cluster, "encrypted", forget)


@pytest.mark.parametrize("client", [None, "stranger"])
def test_strangers_reach_nothing(
    cluster: LocalCluster, certificates: Certificates, client: str | None, tmp_path: Path
) -> None:
    node = cluster.peers[cluster.owner()]
    context = certificates.client_context(client)
    transfer = f"127.0.0.1:{node.transfer_port}"

    async def test() -> None:
        for tls in (None, context):
            with pytest.raises((OSError, nats.errors.Error)):
                await nats.connect(
                    f"nats://127.0.0.1:{node.log_port}", tls=tls, allow_reconnect=False, connect_timeout=5
                )
            with pytest.raises(TransferError):
                await seeding.seed(tmp_path / "copy", transfer, "", tls)
        for port in (node.route_port, node.log_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"CONNECT {}\r\nPING\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"PONG" not in await reader.read()
            writer.close()

    asyncio.run(test())
    assert not (tmp_path / "copy").exists()
