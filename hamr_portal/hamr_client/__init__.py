from ._client import HAMR_PATH, Answer, HamrClient
from ._errors import Foreign, HamrError, NotSent, OutcomeUnknown, Phase, Rejected, Untrusted
from ._payloads import NotCopied, request_body

__all__ = [
    "HAMR_PATH",
    "Answer",
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
