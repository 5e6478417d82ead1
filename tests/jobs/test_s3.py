"""Sources and results on S3, with a server on this machine."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dossr_video.errors import Interrupted, SourceError, TargetError
from dossr_video.jobs import upload
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.run import run_job
from dossr_video.jobs.upload import check_url, digest_of, uploaded
from dossr_video.settings import Settings

Content = Callable[[Path], dict[str, Any]]
OUT = "s3://films/results/out.mp4"


def begun(s3: Any) -> list[str]:
    """Names of uploads that have begun and are not complete."""
    return [upload["Key"] for upload in s3.call_s3("list_multipart_uploads", Bucket="films").get("Uploads", ())]


def test_from_s3_to_s3_an_interrupted_job_goes_on_and_leaves_no_copies(
    s3: Any, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    s3.put_file(str(clip), "films/in/a film+1.mp4")
    arguments = ("s3://films/in/a film+1.mp4", OUT, tiny)
    seen = 0

    def watch(event: Progress) -> None:
        nonlocal seen
        seen = event.done if event.stage == "upscaling" else 0

    with pytest.raises(Interrupted):
        run_job(*arguments, on_progress=watch, cancelled=lambda: seen > 20)
    assert not s3.exists("films/results/out.mp4")
    report = run_job(*arguments)
    assert report.resumed > 0
    assert (report.source.path, report.target.path) == arguments[:2]
    assert list((tmp_path / "cache" / "dossr-video").iterdir()) == []
    assert sorted(s3.find("films")) == ["films/in/a film+1.mp4", "films/results/out.mp4"]
    assert begun(s3) == []
    s3.get_file("films/results/out.mp4", str(tmp_path / "out.mp4"))
    assert content(tmp_path / "out.mp4") == whole
    assert digest_of(OUT) == report.target.sha256 == sha256(tmp_path / "out.mp4")
    with pytest.raises(TargetError, match="exists"):
        run_job(*arguments)


def test_a_failed_job_leaves_no_copy_of_its_source(s3: Any, tiny: Settings, tmp_path: Path) -> None:
    s3.pipe_file("films/in/bad.mp4", b"this is no video")
    with pytest.raises(SourceError, match=r"^s3://films/in/bad\.mp4 is not a video"):
        run_job("s3://films/in/bad.mp4", OUT, tiny)
    assert list((tmp_path / "cache" / "dossr-video").iterdir()) == []


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts."""
    monkeypatch.setattr(upload, "PART", 5 << 20)
    path = tmp_path / "large.mp4"
    path.write_bytes(os.urandom(12_000_000))
    return path


def test_a_file_of_many_parts_appears_whole_and_is_compared(
    s3: Any, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = s3.call_s3("create_multipart_upload", Bucket="films", Key="results/out.mp4")  # of a run that was killed
    s3.call_s3("upload_part", Bucket="films", Key="results/out.mp4", UploadId=left["UploadId"], PartNumber=1, Body=b"x")
    s3.call_s3("create_multipart_upload", Bucket="films", Key="results/out.mp4.json")  # of somebody else
    seen: list[bool] = []
    send = type(s3)._upload_file_part_concurrent

    async def look(self: Any, *arguments: Any, **options: Any) -> Any:
        sent = await send(self, *arguments, **options)
        seen.append(await self._exists("films/results/out.mp4"))
        return sent

    monkeypatch.setattr(type(s3), "_upload_file_part_concurrent", look)
    uploaded(large, OUT, force=False)
    assert seen == [False]
    found = s3.info("films/results/out.mp4")
    assert found["ETag"].endswith('-3"')
    assert upload._etag_of(large) == found["ETag"].strip('"')
    assert digest_of(OUT) == sha256(large)
    assert begun(s3) == ["results/out.mp4.json"]


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(s3: Any, large: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.mp4"
    small.write_bytes(b"small")
    for file in (small, large):
        s3.pipe_file("films/results/out.mp4", b"theirs")
        with pytest.raises(TargetError, match="has appeared while the work went on"):
            uploaded(file, OUT, force=False)
        assert s3.cat_file("films/results/out.mp4") == b"theirs"
        uploaded(file, OUT, force=True)
        assert digest_of(OUT) == sha256(file)
    assert begun(s3) == []


def test_what_arrives_otherwise_than_it_was_sent_is_told(s3: Any, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = type(s3)._put_file

    async def wrong(self: Any, path: str, *arguments: Any, **options: Any) -> None:
        content = bytearray(Path(path).read_bytes())
        content[7_000_000] ^= 1
        Path(path + ".sent").write_bytes(content)
        await put(self, path + ".sent", *arguments, **options)

    monkeypatch.setattr(type(s3), "_put_file", wrong)
    type(s3).clear_instance_cache()
    with pytest.raises(TargetError, match="is not what was sent"):
        uploaded(large, OUT, force=False)


def test_of_an_object_without_its_digest_the_content_is_read(
    s3: Any, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_file(str(large), "films/results/out.mp4")
    assert digest_of(OUT) == sha256(large)
    assert digest_of("s3://films/no.mp4") is None
    monkeypatch.setattr(upload, "_etag_of", lambda path: "that of an encrypted object")
    uploaded(large, OUT, force=True)


def test_a_bucket_that_is_none_and_missing_rights_are_told_before_the_work(
    s3: Any, s3_server: str, clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    events: list[Progress] = []
    with pytest.raises(TargetError, match=r"s3://none/out\.mp4 cannot be written: .*bucket does not exist"):
        run_job(clip, "s3://none/out.mp4", tiny, on_progress=events.append)
    with pytest.raises(SourceError, match=r"s3://none/in\.mp4 cannot be fetched: .*bucket does not exist"):
        run_job("s3://none/in.mp4", tmp_path / "out.mp4", tiny, on_progress=events.append)
    rights = urllib.request.Request(f"{s3_server}/moto-api/reset-auth", data=b"0", method="POST")
    rights.add_header("Content-Type", "text/plain")
    urllib.request.urlopen(rights).close()  # from now on keys are looked at
    try:
        with pytest.raises(
            TargetError, match=r"s3://films/results/out\.mp4 cannot be written: PermissionError"
        ) as error:
            run_job(clip, OUT, tiny, on_progress=events.append)
        with pytest.raises(SourceError, match=r"cannot be fetched: PermissionError"):
            run_job("s3://films/in.mp4", tmp_path / "out.mp4", tiny, on_progress=events.append)
    finally:
        rights.data = b"Infinity"
        urllib.request.urlopen(rights).close()
    assert "s3cret-word" not in error.value.message
    assert "\n" not in error.value.message
    assert not [event for event in events if event.stage != "fetching"]


def test_a_server_that_does_not_answer_is_told(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(s3).clear_instance_cache()
    with pytest.raises(TargetError, match="cannot be written: EndpointConnectionError"):
        check_url(OUT, force=False)
