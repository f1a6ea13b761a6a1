"""Certificates for tests of TLS, made by openssl."""

import ssl
import subprocess
from pathlib import Path


class Certificates:
    """Two authorities, `ca` and `other`, with `server` and `client` signed by `ca`, `stranger` by `other`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._authority("ca")
        self._authority("other")
        self.sign("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.sign("client", "ca", "extendedKeyUsage=clientAuth")
        self.sign("stranger", "other", "extendedKeyUsage=clientAuth")

    def cert_path(self, name: str) -> str:
        return str(self.path / f"{name}.pem")

    def key_path(self, name: str) -> str:
        return str(self.path / f"{name}.key")

    def client_context(self, client: str | None = None, authority: str = "ca") -> ssl.SSLContext:
        """The context of a client that trusts `authority`, and shows the certificate `client` if not None."""
        context = ssl.create_default_context(cafile=self.cert_path(authority))
        if client:
            context.load_cert_chain(self.cert_path(client), self.key_path(client))
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.path)

    def _authority(self, name: str) -> None:
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )

    def sign(self, name: str, authority: str, extension: str, subject: str | None = None) -> None:
        """Make a certificate. `subject` is as openssl takes it, such as `/O=acme/CN=anna`."""
        subject = f"/CN={name}" if subject is None else subject
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-utf8", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        (self.path / f"{name}.ext").write_text(extension)
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
        )
