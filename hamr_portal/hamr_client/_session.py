"""How does the sign-in library ask single sign-on, which speaks `requests`, without waiting beyond a deadline?"""

from __future__ import annotations

from typing import Any

import requests

from ._client import shared_context
from ._deadline import Attempt, Deadline, DeadlineAdapter, running


class BoundedSession(requests.Session):
    """A session whose calls end within so many seconds by the wall clock each, and follow nothing.

    It reads no proxy and no password from its surroundings. Raises what `requests` raises: `OSError`.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.trust_env = False
        adapter = DeadlineAdapter(shared_context())
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and read the whole answer."""
        settings = {**kwargs, "allow_redirects": False, "timeout": self._seconds}
        with running(Attempt(Deadline(self._seconds), self._seconds)):
            response = super().request(method, url, *args, **settings)
        if 300 <= response.status_code < 400:
            raise requests.TooManyRedirects(response=response)
        return response
