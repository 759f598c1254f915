"""/v1/webhooks/secret: what webhooks are signed with."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.context import ContextDep, WriterDep
from service.http.openapi import access_responses

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


class WebhookSecret(BaseModel):
    """A secret in the form of Standard Webhooks: `whsec_` and base64."""

    secret: str


@router.get("/secret", responses=access_responses())
def read_webhook_secret(response: Response, context: ContextDep, caller: WriterDep) -> WebhookSecret:
    """The caller's own secret: it verifies `webhook-signature` as Standard Webhooks 1.0 says."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=context.signer.secret(caller.owner))
