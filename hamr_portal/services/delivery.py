"""Who carries news out? A worker's own few threads, so that a message that takes its time delays no reading."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType

from django.utils import timezone

from hamr_portal import notifiers
from hamr_portal.notifiers import NotTold

from . import notifications
from .notifications import Message

AT_ONCE = 4
"""So many messages are in the air at once, each in a process of its own."""

logger = logging.getLogger(__name__)


class Carrier:
    """Carries messages out. Its threads touch no database; what came of each is put down by who asks, in `turn`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="tell")
        self._out: dict[Future[str], Message] = {}

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()

    def turn(self) -> None:
        """Put down what came of what is back, and send out what is due."""
        self._settle([future for future in self._out if future.done()])
        free = AT_ONCE - len(self._out)
        if free:
            for message in notifications.take(now=timezone.now(), most=free):
                self._out[self._pool.submit(_carry, message)] = message

    def finish(self) -> None:
        """Wait for what is out, no longer than a message may take, and put down what came of it."""
        self._settle(wait(self._out).done)

    def _settle(self, back: list[Future[str]] | set[Future[str]]) -> None:
        for future in back:
            message = self._out.pop(future)
            trouble = future.result()
            if trouble:
                logger.warning("news.not_told: %s: %s", message.channel.label, trouble)
            notifications.settle(message, trouble=trouble, now=timezone.now())


def _carry(message: Message) -> str:
    """Hand one message over; tells what kept it from being told, or nothing."""
    try:
        notifiers.tell(message.channel, to=message.to, subject=message.subject, text=message.text)
    except NotTold as error:
        return str(error)
    return ""
