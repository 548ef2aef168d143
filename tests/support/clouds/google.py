"""Google: tokens of a metadata server, which google-auth takes for that of a machine of Google, and their check."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.auth.compute_engine import _metadata

from tests.support.clouds.checker import Answer, Sent

PROJECT, REGION = "a-project", "us-east5"
_FLAVOR = {"metadata-flavor": "Google"}
_ACCOUNT = {"email": "worker@a-project.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]}
_UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


@dataclass(slots=True, kw_only=True)
class Google:
    """A judge that is also the metadata server: each of `tokens` is given once, the last for ever.

    `good` is the only token that the API takes. A machine elsewhere has no metadata server.
    """

    good: str = "ya29.good"
    tokens: list[str] = field(default_factory=lambda: ["ya29.good"])
    lives_s: int = 3600
    is_elsewhere: bool = False

    def __call__(self, sent: Sent) -> Answer | None:
        """Answer the metadata server's requests, and check the token and the place of all others."""
        path = sent.path.partition("?")[0]
        if sent.method == "GET":
            body = None if self.is_elsewhere else self._metadata(path.removeprefix("/computeMetadata/v1/"))
            return Answer(status=404, body={}) if body is None else Answer(status=200, body=body, headers=_FLAVOR)
        if sent.headers.get("authorization") != f"Bearer {self.good}":
            return google_error(401, "UNAUTHENTICATED", _UNAUTHENTICATED)
        if path.startswith("/projects/") and not path.startswith(f"/projects/{PROJECT}/locations/{REGION}/"):
            words = f"Publisher Model `{path[1:]}` was not found or your project does not have access to it."
            return google_error(404, "NOT_FOUND", words)
        return None

    def _metadata(self, path: str) -> object:
        if path.endswith("/token"):
            token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
            return {"access_token": token, "expires_in": self.lives_s, "token_type": "Bearer"}
        if path.startswith("instance/service-accounts/"):
            return _ACCOUNT
        return {"/": {}, "project/project-id": PROJECT}.get(path)


def google_error(status: int, name: str, words: str) -> Answer:
    """Make an error in Google's form."""
    return Answer(status=status, body={"error": {"code": status, "message": words, "status": name}})


def google_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], None]:
    """Return a function that names the metadata server. No other source of credentials is left."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))

    def name(host: str) -> None:
        monkeypatch.setenv("GCE_METADATA_IP", host)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)  # google-auth reads the variable on import

    return name
