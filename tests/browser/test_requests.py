"""What the local page refuses: requests of other sites, programs without the token, files outside of its folders."""

from __future__ import annotations

import http.client
import json
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from dossr_video.ui.guard import PAGE_POLICY


@dataclass
class Client:
    """A program that speaks HTTP with the page, and may lie in every header."""

    port: int
    cookie: str = ""
    form_token: str = ""
    host: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        sent = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}", "Cookie": self.cookie}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and "Content-Length" not in sent:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        if body:
            connection.send(body)
        answer = connection.getresponse()
        answer.text = answer.read().decode("utf-8", "replace")  # type: ignore[attr-defined]
        connection.close()
        return answer

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        return self("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> http.client.HTTPResponse:
        body = urlencode({"form-token": self.form_token, **(fields or {})}).encode()
        return self("POST", path, body, **{"Content_Type": "application/x-www-form-urlencoded", **headers})

    def upload(self, name: str, body: bytes, folder: str = "0/", **headers: str) -> http.client.HTTPResponse:
        address = f"/upload?in={quote(folder, safe='')}&name={quote(name, safe='')}"
        return self("POST", address, body, **{"X_Form_Token": self.form_token, **headers})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A folder with a film, and beside it one that was not given."""
    parent = tmp_path_factory.mktemp("requests")
    given, other = parent / "given", parent / "other"
    for path in (given / "inner", given / ".hidden", other):
        path.mkdir(parents=True)
    for path in (given / "film.mp4", other / "secret.mp4", given / ".hidden" / "hidden.mp4"):
        path.write_bytes(sample.read_bytes())
    (given / "notes.txt").write_text("no film")
    (given / "link.mp4").symlink_to(other / "secret.mp4")
    (given / "way").symlink_to(other)
    return given


@pytest.fixture(scope="module")
def served(serve, folder: Path):
    return serve(folder, "--max-upload=0.001")


@pytest.fixture
def stranger(served) -> Client:
    """Without the token."""
    return Client(served.port)


@pytest.fixture(scope="module")
def client(served) -> Client:
    """With the cookie that the token is exchanged for."""
    client = Client(served.port)
    answer = client.get(served.address.partition(str(served.port))[2])
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} == set(cookie.split("; ")[1:])
    client.cookie = cookie.split(";")[0]
    client.form_token = re.search('name="form-token" value="([0-9a-f]+)"', client.get("/clip?at=0/film.mp4").text)[1]
    return client


def test_listens_on_this_machine_alone(served) -> None:
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    listening = [line.split()[1] for line in lines[1:] if line.split()[1].endswith(f":{served.port:04X}")]
    assert [address for address in listening if not address.startswith("0100007F")] == []
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, served.port), timeout=2)


@pytest.mark.parametrize("path", ["/", "/queue", "/clip?at=0/film.mp4", "/job/1/page", "/static/ui.js", "/?token=x"])
def test_nothing_is_shown_without_the_token(stranger: Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status == 403
    assert "film" not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert stranger.get(path, Cookie=f"dossr-video-{stranger.port}=guess").status == 403


def test_nothing_is_done_without_the_token(stranger: Client, client: Client, folder: Path) -> None:
    assert stranger.post("/clip/start", {"at": "0/film.mp4", "form-token": client.form_token}).status == 403
    assert stranger.upload("a.mp4", b"x").status == 403
    assert not (folder / "a.mp4").exists()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_another_name_of_this_machine_is_refused(client: Client, host: str) -> None:
    answer = client.get("/", Host=host.format(port=client.port))
    assert answer.status in (400, 421)
    assert "film" not in answer.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
def test_a_form_of_another_site_is_refused(client: Client, folder: Path, origin: str) -> None:
    sent = origin.format(port=client.port)
    assert client.post("/clip/start", {"at": "0/film.mp4"}, Origin=sent).status == 403
    assert client.upload("b.mp4", b"x", Origin=sent).status == 403
    assert not (folder / "b.mp4").exists()


def test_a_form_without_its_token_is_refused(client: Client, folder: Path) -> None:
    for token in ("", "0" * 64):
        assert client.post("/clip/start", {"at": "0/film.mp4", "form-token": token}).status == 403
        assert client.post("/job/000001/stop", {"form-token": token}).status == 403
        assert client.upload("c.mp4", b"x", X_Form_Token=token).status == 403
    plain = client("POST", "/clip/start", b"form-token=" + client.form_token.encode(), Content_Type="text/plain")
    assert plain.status == 403
    assert "None yet" in client.get("/queue").text
    assert not (folder / "c.mp4").exists()


def test_what_changes_something_is_not_asked_for_by_get(client: Client) -> None:
    for path in ("/clip/start", "/clip/explain", "/job/000001/stop"):
        assert client.get(path).status in (404, 405)


@pytest.mark.parametrize(
    "address",
    [
        "0/../other/secret.mp4",
        "0/inner/../../other/secret.mp4",
        "0/%2e%2e/other/secret.mp4",
        "0/link.mp4",
        "0/way/secret.mp4",
        "0/.hidden/hidden.mp4",
        "0//etc/passwd",
        "1/film.mp4",
        "-1/film.mp4",
        "0/film.mp4%00",
        "",
        "file:///etc/passwd",
    ],
)
def test_files_outside_of_the_folders_are_refused(client: Client, address: str) -> None:
    for answer in (
        client.get(f"/clip?at={quote(address)}"),
        client.get(f"/?in={quote(address)}") if address else client.get("/clip"),
        client.post("/clip/probe", {"at": address}),
        client.post("/clip/start", {"at": address}),
        client.upload("d.mp4", b"x", folder=address),
    ):
        assert answer.status in (400, 403), address
        assert "secret.mp4</h1>" not in answer.text
    assert "None yet" in client.get("/queue").text


def test_results_stay_in_the_folders(client: Client, folder: Path) -> None:
    for fields in (
        {"to": "0/../other"},
        {"to": "0/way"},
        {"name": "../other/out.mp4"},
        {"name": ".out.mp4"},
        {"name": str(folder.parent / "out.mp4")},
        {"name": "film.mp4"},
        {"name": "n" * 300},
    ):
        assert client.post("/clip/start", {"at": "0/film.mp4", **fields}).status in (400, 403), fields
    assert "None yet" in client.get("/queue").text


def test_links_to_the_outside_are_not_listed(client: Client) -> None:
    text = client.get("/").text
    assert "film.mp4" in text
    assert "inner/" in text
    for name in ("link.mp4", "way", "hidden.mp4", ".hidden", "notes.txt", "secret"):
        assert name not in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preset": "../../etc/passwd"}, "preset"),
        ({"preset": "/etc/passwd"}, "preset"),
        ({"model": "/etc/passwd"}, "Model: /etc/passwd cannot be chosen"),
        ({"start": "soon"}, "--start soon must be"),
        ({"end": "1", "start": "2"}, "--end 1 must be after --start 2"),
        ({"size": "--force"}, "cannot be chosen"),
        ({"strength": "2"}, "cannot be chosen"),
        ({"format": ".exe"}, ".exe is no format"),
        ({"try-model": "/etc/passwd"}, "Model: /etc/passwd cannot be chosen"),
    ],
)
def test_wrong_options_are_told_and_start_nothing(client: Client, fields: dict[str, str], words: str) -> None:
    path = "/clip/preview" if "try-model" in fields else "/clip/start"
    answer = client.post(path, {"at": "0/film.mp4", **fields})
    assert answer.status == 400
    assert 'role="alert"' in answer.text
    assert words in answer.text
    assert "None yet" in client.get("/queue").text


def test_an_upload_is_whole_or_not_there(client: Client, folder: Path, sample: Path) -> None:
    data = sample.read_bytes()
    answer = client.upload("new film é.mp4", data)
    assert (answer.status, json.loads(answer.text)) == (200, {"next": "/clip?at=0/new%2520film%2520%25C3%25A9.mp4"})
    assert (folder / "new film é.mp4").read_bytes() == data
    assert client.get(json.loads(answer.text)["next"]).status == 200

    for name, size, status in (("new film é.mp4", 5, 400), ("x.txt", 5, 400), ("other.mp4", 5, 200)):
        assert client.get(f"/upload?in=0/&name={quote(name)}&size={size}").status == status
    again = client.upload("new film é.mp4", b"other")
    assert again.status == 400
    assert "is there already" in json.loads(again.text)["message"]
    assert (folder / "new film é.mp4").read_bytes() == data

    for name in ("../out.mp4", "inner/x.mp4", ".x.mp4", "", "x.txt", "x", "a\0.mp4", "n" * 300 + ".mp4"):
        assert client.upload(name, b"x").status == 400, name
    with socket.create_connection(("127.0.0.1", client.port)) as cut:
        head = f"POST /upload?in=0/&name=cut.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: 1000\r\n"
        head += f"Origin: http://127.0.0.1:{client.port}\r\nCookie: {client.cookie}\r\n"
        cut.sendall(f"{head}X-Form-Token: {client.form_token}\r\n\r\nonly this".encode())
    assert client.get("/").status == 200
    assert {path.name for path in folder.iterdir()} == {
        "film.mp4", "inner", ".hidden", "notes.txt", "link.mp4", "way", "new film é.mp4"
    }  # fmt: skip


def test_an_upload_over_the_limit_is_refused_before_it_is_read(client: Client, folder: Path) -> None:
    for size in ("1000001", "99999999999999", "-1", "many"):
        answer = client("POST", "/upload?in=0/&name=big.mp4", X_Form_Token=client.form_token, Content_Length=size)
        assert answer.status in (400, 413), size
        assert client.get(f"/upload?in=0/&name=big.mp4&size={size}").status == answer.status
    assert not list(folder.glob("*big*"))


def test_every_answer_carries_the_policies(client: Client, stranger: Client) -> None:
    for answer in (client.get("/"), client.get("/nowhere"), client.get("/static/ui.css"), stranger.get("/")):
        assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


def test_only_the_user_reads_the_secret(served) -> None:
    assert (served.state / "session").stat().st_mode & 0o777 == 0o600
    assert served.state.stat().st_mode & 0o077 == 0


def test_a_form_that_is_too_large_is_refused(client: Client) -> None:
    assert client.post("/clip/start", {"at": "0/film.mp4", "name": "x" * 100_000}).status == 403


def test_one_page_for_each_user(serve, served, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the page runs already"):
        serve(folder)
    with pytest.raises(AssertionError, match="cannot be used: Address already in use"):
        serve(folder, port=served.port)
