"""Where the server is and which keys we have: arguments first, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional

from .errors import ConfigurationError
from .signing import hash_key

VERSION = "0.1.0"
DEFAULT_URL = "http://localhost:8288"


@dataclass
class Settings:
    """See `FlowForge`. Without a signing key, development: nothing is signed, and requests need not be."""

    url: str
    event_key: Optional[str] = None
    signing_key: Optional[str] = None
    signing_key_fallback: Optional[str] = None
    api_key: Optional[str] = None
    serve_origin: Optional[str] = None
    serve_path: Optional[str] = None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Optional[str]) -> Settings:
        """Makes settings of arguments and FLOWFORGE_… variables. Raises ConfigurationError."""

        def value(name: str) -> Optional[str]:
            return given.get(name) or environment.get(f"FLOWFORGE_{name.upper()}") or None

        settings = cls(
            (value("url") or DEFAULT_URL).rstrip("/"),
            value("event_key"),
            value("signing_key"),
            value("signing_key_fallback"),
            value("api_key"),
            value("serve_origin"),
            value("serve_path"),
        )
        if not settings.url.startswith(("http://", "https://")):
            raise ConfigurationError(f"FLOWFORGE_URL must begin with http:// or https://; it is {settings.url!r}")
        for key in settings.signing_keys:
            hash_key(key)
        return settings

    @property
    def is_dev(self) -> bool:
        """Whether nothing is signed."""
        return self.signing_key is None

    @property
    def signing_keys(self) -> List[str]:
        """The key and the one while keys are changed."""
        return [key for key in (self.signing_key, self.signing_key_fallback) if key]

    def app_bearers(self) -> List[str]:
        """What an app shows the server, one after another if it is refused; [""] for nothing."""
        return [hash_key(key) for key in self.signing_keys] or ([self.api_key] if self.api_key else [""])

    def client_bearers(self) -> List[str]:
        """What a client shows the server: the API key, or else what an app shows."""
        return [self.api_key] if self.api_key else self.app_bearers()


def sdk_headers(framework: str = "") -> Dict[str, str]:
    """How we tell who we are."""
    headers = {"x-inngest-sdk": f"flowforge-py:v{VERSION}", "x-flowforge-sdk": f"python:v{VERSION}"}
    return {**headers, "x-inngest-framework": framework} if framework else headers
