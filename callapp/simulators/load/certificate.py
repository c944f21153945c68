"""A certificate for ``localhost``, made for one run, so that the model can be spoken to as in production."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path


class NoCertificate(Exception):
    """None could be made; the message says why."""


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server needs, and the file that makes a client trust it.

    Raises:
        NoCertificate: the openssl program is not there, or failed.
    """
    program = shutil.which("openssl")
    if program is None:
        raise NoCertificate("TLS needs the openssl program to make a certificate: install it")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603  ours
    except subprocess.SubprocessError as error:
        raise NoCertificate(f"openssl could not make a certificate: {error}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
