"""AWS: SigV4 by botocore's own code, computed again from the request that arrived, and bearer keys."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.aws import _auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.clouds.checker import Answer, Sent

ACCESS, SECRET, TOKEN, KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI", "a-session", "bedrock-api-key-1"
REGION = "us-east-1"
REQUEST_ID = "8b7d7a0e-0001"
_SCOPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/([\w-]+)/aws4_request,"
    r" SignedHeaders=([\w;-]+), Signature=(\w+)"
)
_VALID_FOR = timedelta(minutes=5)
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """A judge of requests for one service. `ahead` is how far its clock goes before the caller's."""

    service: str
    secret: str = SECRET
    ahead: timedelta = timedelta()

    def __call__(self, sent: Sent) -> Answer | None:
        """Check the signature or the bearer key."""
        given = sent.headers.get("authorization", "")
        if given.startswith("Bearer "):
            is_key = given == f"Bearer {KEY}"
            words = {"Message": "Authentication failed: Please make sure your API Key is valid."}
            return None if is_key else _refused("AccessDeniedException", words)
        found = _SCOPE.fullmatch(given)
        if found is None:
            return _refused("MissingAuthenticationTokenException", {"message": "Missing Authentication Token"})
        access, day, region, service, names, signature = found.groups()
        if access != ACCESS:
            words = {"message": "The security token included in the request is invalid."}
            return _refused("UnrecognizedClientException", words)
        if (wrong := self._of_scope(sent, day, region, service)) is not None:
            return _refused("InvalidSignatureException", {"message": wrong})
        if signature != self._signature(sent, names.split(";"), region):
            return _refused("InvalidSignatureException", {"message": _WRONG})
        return None

    def _of_scope(self, sent: Sent, day: str, region: str, service: str) -> str | None:
        stamp = sent.headers["x-amz-date"]
        at, now = datetime.strptime(stamp, "%Y%m%dT%H%M%S%z"), datetime.now(UTC) + self.ahead
        if (region, service) != (REGION, self.service):
            return "Credential should be scoped to a valid region. "
        if day != stamp[:8] or abs(now - at) > _VALID_FOR:
            return f"Signature expired: {stamp} is now earlier than {now - _VALID_FOR:%Y%m%dT%H%M%SZ}"
        return None

    def _signature(self, sent: Sent, names: list[str], region: str) -> str:
        signed = {name: sent.headers[name] for name in names}
        request = AWSRequest(sent.method, f"http://{sent.host}{sent.path}", headers=signed, data=sent.body)
        request.context["timestamp"] = sent.headers["x-amz-date"]
        signer = SigV4Auth(Credentials(ACCESS, self.secret), self.service, region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return str(signer.signature(text, request))


@contextmanager
def aws_environment(monkeypatch: pytest.MonkeyPatch, folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Set the variables of AWS, with no other source of credentials. The SDK keeps a session for each region."""
    none = {"AWS_EC2_METADATA_DISABLED": "true"}
    none |= {name: str(folder / name) for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in (none | dict(variables)).items():
        monkeypatch.setenv(name, value)
    sessions: Any = _auth._get_session  # noqa: SLF001 - a session of one test has the credentials of that test
    sessions.cache_clear()
    yield
    sessions.cache_clear()


def _refused(name: str, words: Mapping[str, str]) -> Answer:
    named = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/", "x-amzn-requestid": REQUEST_ID}
    return Answer(status=403, body=words, headers=named)
