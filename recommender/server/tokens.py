"""Tokens of an identity provider: JSON Web Tokens by OpenID Connect, checked with the provider's public keys (joserfc).

The keys come from a file or an address and are fetched again when a token names one that is not known, at most once a
minute, so a provider may change its keys. Only signatures with public keys count.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from recommender.config import TokensConfig
from recommender.errors import ConfigError
from recommender.server.http_errors import HttpError
from recommender.store.keys import SCOPES, Scope

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
#: seconds between two fetches of the keys, for which a fetch may last, by which clocks may differ; characters of a token
_PATIENCE, _TIMEOUT, _LEEWAY, _LONGEST = 60.0, 5.0, 60, 16_384

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """The person of a token, and what the token lets its bearer do."""

    user: str
    scopes: tuple[Scope, ...]
    rate: int | None


class TokenCheck:
    """Checks tokens of one issuer for one audience."""

    def __init__(self, config: TokensConfig) -> None:
        """Read the provider's keys. Raises ConfigError if there are none."""
        self.config = config
        self._lock = threading.Lock()
        self._keys, self._read_at = self._fetched(), time.monotonic()
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": config.issuer},
            aud={"essential": True, "value": config.audience},
            exp={"essential": True},
        )

    def subject(self, token: str) -> Subject:
        """Return whose token this is. Raises HttpError 401 for one that does not count."""
        if len(token) > _LONGEST or token.count(".") != 2:
            raise HttpError(401, "the key or token is not known here", "unknown_key")
        try:
            claims = self._decoded(token)
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            code = "expired_key" if getattr(error, "error", "") == "expired_token" else "unknown_key"
            raise HttpError(
                401, f"the token does not count: {getattr(error, 'error', 'it cannot be read')}", code
            ) from None
        user = claims.get(self.config.user_claim)
        if not isinstance(user, str) or not 0 < len(user) <= 200:
            raise HttpError(401, f"the token's {self.config.user_claim} names nobody", "unknown_key")
        return Subject(user, _scopes(claims.get(self.config.scope_claim)), self.config.rate)

    def _decoded(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError):
            if not self._refreshed():
                raise
            return dict(jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims)

    def _refreshed(self) -> bool:
        """Fetch the keys again, unless that was done a moment ago."""
        with self._lock:
            if time.monotonic() - self._read_at < _PATIENCE:
                return False
            self._read_at = time.monotonic()
        try:
            self._keys = self._fetched()
        except ConfigError as error:
            logger.error("%s", error.message)
            return False
        return True

    def _fetched(self) -> KeySet:
        source = self.config.keys
        try:
            if source.startswith(("https://", "http://")):
                with urllib.request.urlopen(source, timeout=_TIMEOUT) as answer:
                    content = answer.read(1_000_000)
            else:
                content = Path(source).read_bytes()
            keys = KeySet.import_key_set(json.loads(content))
        except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
            raise ConfigError(
                f"{source}: the keys of the identity provider cannot be read ({type(error).__name__})",
                "give its JWKS: a file, or the jwks_uri of its discovery document",
            ) from None
        if any(key.key_type == "oct" for key in keys.keys):
            raise ConfigError(
                f"{source}: holds a secret key, and only public ones can be given to a server", "give its JWKS"
            )
        return keys


def _scopes(claim: Any) -> tuple[Scope, ...]:
    """Return the scopes of a claim: a text with spaces between them, or a list."""
    given = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return tuple(scope for scope in SCOPES if scope in given or f"recommender:{scope}" in given)
