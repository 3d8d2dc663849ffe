from ._client import HAMR_PATH, Answer, HamrClient
from ._errors import Foreign, HamrError, NotSent, OutcomeUnknown, Phase, Rejected, Untrusted
from ._payloads import NotCopied, request_body
from ._session import BoundedSession

__all__ = [
    "HAMR_PATH",
    "Answer",
    "BoundedSession",
    "Foreign",
    "HamrClient",
    "HamrError",
    "NotCopied",
    "NotSent",
    "OutcomeUnknown",
    "Phase",
    "Rejected",
    "Untrusted",
    "request_body",
]
