"""How PostgreSQL is spoken to."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError

from callapp.call_log.engine import open_engine
from tests.postgres import Cluster
from tests.stage import DEADLINE_S

READY_BUT_SILENT = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"
"""`AuthenticationOk` and `ReadyForQuery`: https://www.postgresql.org/docs/current/protocol-message-formats.html"""


def test_nothing_is_prepared_since_the_next_transaction_may_reach_another_server(postgres: Cluster) -> None:
    engine = open_engine(postgres.new_database())
    with engine.connect() as connection:
        for _ in range(10):
            connection.execute(text("SELECT :one + 1"), {"one": 1})
        prepared = connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    engine.dispose()
    assert prepared == 0


def test_connections_to_what_has_become_a_standby_are_given_up(postgres: Cluster) -> None:
    engine = open_engine(postgres.new_database())
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
        connection.commit()
    with engine.connect() as connection, pytest.raises(InternalError, match="read-only"):
        connection.execute(text("CREATE TABLE one (it int)"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE one (it int)"))
    engine.dispose()


def test_a_server_that_takes_questions_and_answers_none_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        port = listener.getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/it?sslmode=disable&gssencmode=disable"
        asked = pool.submit(open_engine(url, busy_s=1).connect)
        client, _ = listener.accept()
        with client:
            client.settimeout(DEADLINE_S)
            client.recv(10_000)
            client.sendall(READY_BUT_SILENT)
            with pytest.raises(OperationalError, match="no answer within 2 s"):
                asked.result(DEADLINE_S)
            while client.recv(10_000):  # what was asked, and then that nobody waits for the answer
                pass


def test_a_server_that_is_slow_and_gets_on_is_not(postgres: Cluster) -> None:
    """A batch may take longer than any of its statements."""
    engine = open_engine(postgres.new_database(), busy_s=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE one (it int)"))
        slow = text("INSERT INTO one SELECT :it FROM pg_sleep(0.4)")
        connection.execute(slow, [{"it": number} for number in range(8)])
        assert connection.scalar(text("SELECT count(*) FROM one")) == 8
    engine.dispose()
