"""Signed webhooks as the simulated Replicate sends them, sent by the test itself so that it knows the moment."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook

from tests.local.stack import RunningStack

_LETTERS = "abcdefghjkmnpqrstvwxyz0123456789"


def new_job_id() -> str:
    """26 characters, as Replicate's ids have."""
    return "".join(secrets.choice(_LETTERS) for _ in range(26))


class WebhookSource:
    def __init__(self, stack: RunningStack) -> None:
        answer = httpx.get(
            f"{stack.simulator_url}/v1/webhooks/default/secret",
            headers={"Authorization": f"Bearer {stack.simulator_token}"},
        )
        self._signer = Webhook(answer.raise_for_status().json()["key"])
        self._http = httpx.Client(base_url=stack.http_url, timeout=30)

    def send(self, job_id: str, status: str = "processing") -> httpx.Response:
        """Tell the service that a job has this status, in Replicate's words."""
        body, headers = self.signed(job_id, status)
        return self._http.post("/api/webhooks/replicate", content=body, headers=headers).raise_for_status()

    def signed(self, job_id: str, status: str) -> tuple[str, dict[str, str]]:
        """Body and headers of a webhook as it would be sent now."""
        now = datetime.now(UTC)
        moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body: dict[str, object] = {
            "id": job_id,
            "model": "simpletuner/advanced-trainer-h100",
            "version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
            "input": {},
            "logs": "",
            "output": None,
            "error": None,
            "status": status,
            "created_at": moment,
            "urls": {"get": f"https://api.replicate.com/v1/predictions/{job_id}"},
        }
        if status != "starting":
            body["started_at"] = moment
        if status in ("succeeded", "failed", "canceled"):
            body |= {"completed_at": moment, "metrics": {"predict_time": 1.5}}
        raw = json.dumps(body)
        webhook_id = f"msg_{secrets.token_hex(8)}"
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(webhook_id, now, raw),
            "content-type": "application/json",
        }
        return raw, headers

    def close(self) -> None:
        self._http.close()
