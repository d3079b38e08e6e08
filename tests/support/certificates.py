"""Certificates of the tests' own: an authority, and servers that it vouches for."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Made by the program ``openssl``. ``certificate``: the file that those who trust it have."""

    directory: Path
    openssl: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "authority.pem"

    @property
    def _key(self) -> Path:
        return self.directory / "authority.key"

    def __post_init__(self) -> None:
        self._run(*self._request(self._key, "authority"), "-x509", "-days", "2", "-out", self.certificate)

    def vouch_for(self, address: str) -> ssl.SSLContext:
        """How a server shows that it is ``address``."""
        key, asked, given, more = (
            self.directory / f"{address}.{kind}" for kind in ("key", "csr", "pem", "txt")
        )
        self._run(*self._request(key, address), "-out", asked)
        more.write_text(f"subjectAltName=IP:{address}\n")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial")
        self._run("x509", "-req", "-in", asked, *signer, "-days", "2", "-extfile", more, "-out", given)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given, key)
        return context

    def _request(self, key: Path, name: str) -> tuple[object, ...]:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return ("req", "-new", *kind, "-keyout", key, "-subj", f"/CN={name}")

    def _run(self, *arguments: object) -> None:
        subprocess.run([self.openssl, *map(str, arguments)], check=True, capture_output=True)
