"""TLS from files, read again when they change, so that a renewed certificate needs no restart."""

from pathlib import Path

import grpc
import structlog

from ..telemetry import names

log = structlog.get_logger()


class TlsFiles:
    """The files that make a server's TLS.

    Args:
        certificate: The certificate chain, PEM.
        key: Its private key, PEM.
        client_ca: What clients' certificates must come from, PEM; None asks clients for none.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._read_at: tuple[int, ...] = ()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that look at the files on each new connection.

        Raises:
            OSError: A file cannot be read now; later, the last good ones stay in use.
        """
        self._read_at = self._changed_at()
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._newer_configuration,  # type: ignore[arg-type] # None means unchanged
            require_client_authentication=self._client_ca is not None,
        )

    def _newer_configuration(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            changed_at = self._changed_at()
            if changed_at == self._read_at:
                return None
            configuration = self._configuration()
        except OSError:
            log.warning(names.CERTIFICATES_RELOAD_FAILED)
            return None
        self._read_at = changed_at
        return configuration

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (self._key.read_bytes(), self._certificate.read_bytes())
        client_ca = self._client_ca.read_bytes() if self._client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)

    def _changed_at(self) -> tuple[int, ...]:
        files = (self._certificate, self._key, self._client_ca)
        return tuple(file.stat().st_mtime_ns for file in files if file)
