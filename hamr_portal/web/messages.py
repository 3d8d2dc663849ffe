"""Where does what is to be said to a person wait for their next page? In their session, and it goes with that."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends.base import UpdateError
from django.db import Error as DatabaseError

logger = logging.getLogger(__name__)


class Storage(SessionStorage):
    """Django's own, but a page is shown where it cannot be noted that it said something: it is said again then."""

    def _store(self, messages: list[Any], response: Any, *args: Any, **kwargs: Any) -> list[Any]:
        session = self.request.session
        saves_anyway = session.modified
        unsaid: list[Any] = super()._store(messages, response, *args, **kwargs)  # type: ignore[misc]
        if messages or saves_anyway or not session.modified:
            return unsaid
        try:
            session.save()
        except (UpdateError, DatabaseError) as error:
            # In the worst hour people have to read the statuses.
            logger.warning("what was said is not put away: %s", type(error).__name__)
        session.modified = False
        return unsaid
