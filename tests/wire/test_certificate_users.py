"""Users by certificate: mq9fast and nats-server find the same user for a certificate, or none."""

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.wire.script import SERVERS

USERS = [
    "mail@example.org",
    "dns.example.org",
    "spiffe://example.org/agent/7",
    "CN=anna,OU=sales,O=Acme",
    "cn = berta , ou = sales , o = Acme",
    "O=Acme,OU=sales,CN=clara",
    "CN=dora+OU=sales,O=Acme",
    "CN=emma\\, the\\20first,O=Acme",
    "CN=fritz,OU=a+OU=b,O=Acme",
    "CN=gina,DC=example,DC=org",
    "CN=hans,C=DE,DC=org,DC=example",
    "CN=ida,O=Acme",
    "CN=żółw,O=Acme",
    "CN=kai=x,O=Acme",
    "SERIALNUMBER=7,CN=lea,POSTALCODE=1,STREET=s,L=l,ST=st,C=DE",
    "plain",
]
WITH_PASSWORD = "CN=password,O=Acme"
# The subject, the alternative names, and the number of the user, None if there is none.
CERTIFICATES: dict[str, tuple[str, str, int | None]] = {
    "email": ("/CN=x", "email:mail@example.org", 0),
    "second email": ("/CN=x", "email:other@example.org,email:mail@example.org", 0),
    "DNS name": ("/CN=x", "DNS:dns.example.org", 1),
    "URI": ("/CN=x", "URI:spiffe://example.org/agent/7", 2),
    "email before DNS name": ("/CN=x", "DNS:dns.example.org,email:mail@example.org", 0),
    "DNS name before URI": ("/CN=x", "URI:spiffe://example.org/agent/7,DNS:dns.example.org", 1),
    "DNS name after an unknown email": ("/CN=x", "email:other@example.org,DNS:dns.example.org", 1),
    "email before subject": ("/O=Acme/OU=sales/CN=anna", "email:mail@example.org", 0),
    "subject after unknown names": ("/O=Acme/OU=sales/CN=anna", "email:a@b,DNS:c,URI:d:e", 3),
    "email in another case": ("/CN=x", "email:Mail@example.org", None),
    "subject": ("/O=Acme/OU=sales/CN=anna", "", 3),
    "blanks and case of types": ("/O=Acme/OU=sales/CN=berta", "", 4),
    "case of a value": ("/O=acme/OU=sales/CN=anna", "", None),
    "another order": ("/O=Acme/OU=sales/CN=clara", "", 5),
    "order of the text of Go": ("/CN=anna/O=Acme/OU=sales", "", 3),
    "two attributes in one part": ("/O=Acme/CN=dora+OU=sales", "", 6),
    "two attributes apart": ("/O=Acme/OU=sales/CN=dora", "", None),
    "escapes": ("/O=Acme/CN=emma, the first", "", 7),
    "several values": ("/O=Acme/OU=a/OU=b/CN=fritz", "", 8),
    "domain components": ("/DC=org/DC=example/CN=gina", "", 9),
    "domain components in the text of Go": ("/DC=org/DC=example/C=DE/CN=hans", "", 10),
    "an attribute that is not known": ("/O=Acme/CN=ida/UID=7", "", 11),
    "two common names": ("/O=Acme/CN=other/CN=ida/UID=7", "", 11),
    "not ASCII": ("/O=Acme/CN=żółw", "", 12),
    "an equals sign": ("/O=Acme/CN=kai=x", "", 13),
    "all types": (
        "/C=DE/ST=st/L=l/streetAddress=s/postalCode=1/CN=lea/serialNumber=7/UID=7",
        "",
        14,
    ),
    "less than a user": ("/O=Acme/CN=anna", "", None),
    "more than a user": ("/C=DE/O=Acme/OU=sales/CN=anna", "", None),
    "only the common name": ("/CN=plain", "", None),
    "no name": ("/", "", None),
    "unknown": ("/CN=nobody", "email:nobody@example.org", None),
}
Start = Callable[[str], int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    files = Certificates(tmp_path_factory.mktemp("certificates"))
    for name, (subject, alternatives, _) in CERTIFICATES.items():
        extension = "extendedKeyUsage=clientAuth\n"
        files.sign(
            name, "ca", extension + (f"subjectAltName={alternatives}" if alternatives else ""), subject
        )
    files.sign("password", "ca", "extendedKeyUsage=clientAuth", "/O=Acme/CN=password")
    return files


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, files: Certificates) -> Iterator[Start]:
    """Returns the port of a server with the users. User number n may publish to user.n only."""
    running: dict[str, Broker | NatsServer] = {}

    def launch(server: str, directory: Path) -> Broker | NatsServer:
        cert, key, ca = files.cert_path("server"), files.key_path("server"), files.cert_path("ca")
        names = [*USERS, WITH_PASSWORD]
        if server == "mq9fast":
            config = directory / "mq9.toml"
            config.write_text(
                "\n".join(
                    f"[[users]]\nuser = {json.dumps(name, ensure_ascii=False)}\n"
                    + ('password = "secret"\n' if name == WITH_PASSWORD else "")
                    + f'permissions.publish = "user.{number}"'
                    for number, name in enumerate(names)
                )
            )
            flags = ("--tls-cert", cert, "--tls-key", key, "--tls-ca", ca, "--tls-verify-and-map")
            return Broker(directory / "data", "--config", str(config), *flags)
        users = [
            f"{{user: {json.dumps(name, ensure_ascii=False)}, "
            + ("password: secret, " if name == WITH_PASSWORD else "")
            + f'permissions: {{publish: "user.{number}"}}}}'
            for number, name in enumerate(names)
        ]
        tls = f'{{cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify_and_map: true}}'
        authorization = directory / "users.conf"
        authorization.write_text(f"authorization {{ users: [{', '.join(users)}] }}")
        return NatsServer(directory, {"tls": tls, "config": str(authorization)})

    def port(server: str) -> int:
        if server not in running:
            running[server] = launch(server, tmp_path_factory.mktemp(server))
        return running[server].port

    yield port
    for server in running.values():
        server.end()


def sign_in(port: int, context: ssl.SSLContext, **options: str) -> int | None:
    """The number of the user that a client is signed in as; None if it is refused."""
    count = len(USERS) + 1
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as plain:
        info = plain.recv(65536)
        assert json.loads(info.partition(b" ")[2])["tls_verify"] is True
        with context.wrap_socket(plain, server_hostname="localhost") as peer:
            publishes = "".join(f"PUB user.{n} 0\r\n\r\n" for n in range(count))
            peer.sendall(
                f"CONNECT {json.dumps({'verbose': False, **options})}\r\n{publishes}PING\r\n".encode()
            )
            received = b""
            while b"PONG" not in received:
                more = peer.recv(65536)
                if not more:
                    assert b"-ERR 'Authorization Violation'" in received
                    return None
                received += more
    denied = {int(n) for n in re.findall(rb'for Publish to "user.(\d+)"', received)}
    (user,) = set(range(count)) - denied
    return user


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", CERTIFICATES)
def test_user_of_a_certificate(start: Start, files: Certificates, server: str, name: str) -> None:
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    assert sign_in(start(server), files.client_context(name)) == CERTIFICATES[name][2]


@pytest.mark.parametrize("server", SERVERS)
def test_what_the_client_sends_beside_its_certificate(start: Start, files: Certificates, server: str) -> None:
    """Its name is ignored, and a password must be the user's, also if the user has none."""
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    port, ida, password = start(server), files.client_context("email"), files.client_context("password")
    assert sign_in(port, ida, user=WITH_PASSWORD) == 0
    assert sign_in(port, ida, **{"user": WITH_PASSWORD, "pass": "secret"}) is None
    assert sign_in(port, password) is None
    assert sign_in(port, password, **{"pass": "wrong"}) is None
    assert sign_in(port, password, **{"pass": "secret"}) == len(USERS)
