"""How can an answer fail to arrive? Ways to put one on the wire that a healthy server never uses."""

from ._http import Answer, Connection, Delivery

BLOCK = b" " * 65_536


def hang(connection: Connection, _answer: Answer) -> bool:
    """Say nothing until the client gives up."""
    connection.wait_for_close()
    return False


def drop(_connection: Connection, _answer: Answer) -> bool:
    """Close without a word."""
    return False


def reset(connection: Connection, _answer: Answer) -> bool:
    """Close with a TCP reset."""
    connection.reset()
    return False


def drip_headers(interval: float) -> Delivery:
    """Send the whole answer a byte at a time, `interval` seconds apart."""

    def deliver(connection: Connection, answer: Answer) -> bool:
        return _drip(connection, answer.head(len(answer.body)) + answer.body, interval)

    return deliver


def drip_body(interval: float) -> Delivery:
    """Send the headers at once and the body a byte at a time."""

    def deliver(connection: Connection, answer: Answer) -> bool:
        connection.send(answer.head(len(answer.body)))
        return _drip(connection, answer.body, interval)

    return deliver


def truncated(length: bool) -> Delivery:
    """Send half of the body, with or without having declared its length."""

    def deliver(connection: Connection, answer: Answer) -> bool:
        connection.send(answer.head(len(answer.body) if length else None) + answer.body[: len(answer.body) // 2])
        return False

    return deliver


def huge(connection: Connection, answer: Answer) -> bool:
    """Send a body that never ends."""
    connection.send(answer.head(None) + answer.body)
    while True:
        connection.send(BLOCK)


def _drip(connection: Connection, data: bytes, interval: float) -> bool:
    for byte in data:
        if connection.pause(interval):
            return False
        connection.send(bytes([byte]))
    return True
