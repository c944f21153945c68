"""Recordings on S3: Amazon's own client, by way of s3fs, against moto's server. Skipped where those are not
installed: they and what they need are many times callapp's size.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.recording.shelf import Shelf

boto3 = pytest.importorskip("boto3")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs
BUCKET = "recordings"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a service with one bucket, which others find by the environment."""
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environ.setenv(name, "any")
        environ.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        Shelf(f"s3://{BUCKET}/calls").delete("none")  # starts the library's threads, which stay
        yield client
    server.stop()


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_recordings_are_kept_read_from_anywhere_and_deleted(s3: Any) -> None:
    shelf = Shelf(f"s3://{BUCKET}/calls")
    content = os.urandom(6_000_000)  # more than S3 takes at once
    for name, part, data in (("CA1", "", content), ("CA1", "3000", b"the rest"), ("CA2", "", b"another")):
        shelf.write(shelf.path_of(name, part), io.BytesIO(data))
    assert keys(s3) == ["calls/CA1-3000.wav", "calls/CA1.wav", "calls/CA2.wav"]
    file, size = shelf.open(shelf.path_of("CA1"))
    with file:
        assert size == len(content)
        file.seek(5_000_000)
        assert file.read(10) == content[5_000_000:5_000_010]
    shelf.delete("CA1")
    shelf.delete("CA1")
    with pytest.raises(FileNotFoundError):
        shelf.open(shelf.path_of("CA1"))
    assert keys(s3) == ["calls/CA2.wav"]


def test_what_another_process_has_written_meanwhile_is_found_and_deleted(s3: Any) -> None:
    """What the library remembers of a folder must not hide it."""
    shelf = Shelf(f"s3://{BUCKET}/calls")
    shelf.delete("CA8")
    s3.put_object(Bucket=BUCKET, Key="calls/CA9.wav", Body=b"theirs")
    file, size = shelf.open(shelf.path_of("CA9"))
    with file:
        assert (size, file.read()) == (6, b"theirs")
    shelf.delete("CA9")
    assert "calls/CA9.wav" not in keys(s3)
