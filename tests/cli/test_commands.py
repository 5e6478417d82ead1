"""The command as a user meets it: exit codes, error lines, what is left behind."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from dossr_video.cli.commands import app, main
from dossr_video.errors import SettingsError, TargetError
from dossr_video.jobs import durable
from dossr_video.settings import MODELS, Settings
from dossr_video.system import PAUSE, STOPS

COMMAND = [sys.executable, "-m", "dossr_video"]


@dataclass(frozen=True)
class Outcome:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command with these arguments, in this process: importing torch for every wrong option takes seconds."""

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["dossr-video", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, captured.out, captured.err)

    return call


def assert_refused(result: Outcome, code: int, reason: str) -> None:
    lines = result.stderr.strip().splitlines()
    assert result.returncode == code, result.stderr
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], result.stderr
    assert reason in lines[0]
    assert result.stdout == ""


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "letter.mp4"
    path.write_text("Dear archive,\n" * 100)
    return path


@pytest.fixture
def sound_only(tmp_path: Path, sample: Path) -> Path:
    path = tmp_path / "sound.m4a"
    with av.open(str(sample)) as source, av.open(str(path), "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


@pytest.fixture
def no_frames(tmp_path: Path) -> Path:
    path = tmp_path / "empty.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.open()
        target.start_encoding()
    return path


def test_no_such_file(run: Run, tmp_path: Path) -> None:
    assert_refused(run(tmp_path / "nothing.mp4", tmp_path / "o.mp4"), 1, "does not exist")


def test_a_folder(run: Run, tmp_path: Path) -> None:
    assert_refused(run(tmp_path, tmp_path / "o.mp4"), 1, "is a folder")


@pytest.mark.parametrize("target", ["", ".", "..", "/"])
def test_a_result_without_a_name(run: Run, sample: Path, target: str) -> None:
    assert_refused(run(sample, target, "--model", "bicubic"), 1, "is a folder; a file is written")


@pytest.mark.parametrize(
    "arguments",
    [
        ["probe", "URL"],
        ["shots", "URL"],
        ["in.mp4", "o.mp4", "--json-report", "URL"],
        ["in.mp4", "o.mp4", "--audio", "URL"],
    ],
)
def test_a_url_where_a_file_is_needed(run: Run, arguments: list[str]) -> None:
    result = run(*(argument.replace("URL", "s3://me:secret@films/a.mp4") for argument in arguments))
    assert_refused(result, 2, "s3://films/a.mp4 must be a file of this machine")


@pytest.mark.parametrize("name", ["scan_%06d.dpx", "scan/"])
def test_pictures_behind_a_url(run: Run, tmp_path: Path, name: str) -> None:
    assert_refused(run(f"s3://films/{name}", tmp_path / "o.mkv"), 1, "numbered pictures behind a URL are not read")


def test_a_name_that_begins_with_a_dash(
    run: Run, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample, "-tape.mp4")
    result = run("-tape.mp4", "o.mp4")
    assert_refused(result, 2, "No such option")
    assert "./-tape.mp4" in result.stderr


def test_not_a_video(run: Run, tmp_path: Path, text_file: Path) -> None:
    assert_refused(run(text_file, tmp_path / "o.mp4"), 1, "is not a video")


def test_no_video_stream(run: Run, tmp_path: Path, sound_only: Path) -> None:
    assert_refused(run(sound_only, tmp_path / "o.mp4"), 1, "no video stream")


def test_zero_frames(run: Run, tmp_path: Path, no_frames: Path) -> None:
    assert_refused(run(no_frames, tmp_path / "o.mp4"), 1, "frame")
    assert not (tmp_path / "o.mp4").exists()
    assert not (tmp_path / "o.mp4.dossr").exists()


def test_a_target_folder_that_does_not_exist(run: Run, tmp_path: Path, sample: Path) -> None:
    assert_refused(run(sample, tmp_path / "no" / "o.mp4"), 1, "does not exist")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is the folder that not even root may write to")
def test_a_target_folder_that_may_not_be_written(run: Run, sample: Path) -> None:
    assert_refused(run(sample, "/proc/o.mp4", "--model", "bicubic"), 1, "/proc")


def test_a_target_that_is_a_folder(run: Run, tmp_path: Path, sample: Path) -> None:
    (tmp_path / "o.mp4").mkdir()
    assert_refused(run(sample, tmp_path / "o.mp4"), 1, "is a folder")


def test_a_target_that_exists_is_kept(run: Run, tmp_path: Path, sample: Path) -> None:
    target = tmp_path / "o.mp4"
    target.write_bytes(b"precious")
    assert_refused(run(sample, target), 1, "exists")
    assert target.read_bytes() == b"precious"


def test_the_input_is_never_written(run: Run, tmp_path: Path, sample: Path) -> None:
    copy = tmp_path / "in.mp4"
    copy.write_bytes(sample.read_bytes())
    (tmp_path / "link.mp4").symlink_to(copy)
    for target in (copy, tmp_path / "link.mp4"):
        assert_refused(run(copy, target, "--force"), 1, "is an input itself")
    assert copy.read_bytes() == sample.read_bytes()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--encoder", "mpeg9"], "no video encoder 'mpeg9'"),
        (["--chunk", "0"], "--chunk 0"),
        (["--crf", "-1"], "--crf -1"),
        (["--steps", "0"], "--steps 0"),
        (["--steps", "501"], "--steps 501"),
        (["--device", "banana"], "--device banana"),
        (["--bogus"], "--bogus"),
        (["--preset", "nonesuch"], "nonesuch"),
        (["--encoder", "ffv1"], "ffv1"),
        (["--pix-fmt", "nonsense", "--model", "bicubic"], "nonsense"),
        (["--prompt", "a cat"], "takes no text"),
    ],
)
def test_wrong_usage(run: Run, tmp_path: Path, sample: Path, options: list[str], reason: str) -> None:
    assert_refused(run(sample, tmp_path / "o.mp4", *options), 2, reason)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["o.xyz", "o"])
def test_an_unknown_extension(run: Run, tmp_path: Path, sample: Path, name: str) -> None:
    assert_refused(run(sample, tmp_path / name), 2, name)


def test_a_model_that_is_not_there(run: Run, tmp_path: Path, sample: Path) -> None:
    result = run(sample, tmp_path / "o.mp4", "--model", tmp_path / "dossr_default.ckpt")
    assert_refused(result, 1, "dossr_default.ckpt")
    assert "DoSSR" in result.stderr.splitlines()[1]
    assert list(tmp_path.iterdir()) == []


def test_a_run_reports_and_is_quiet(run: Run, tmp_path: Path, sample: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--model", "bicubic", "--duration", "0.4", "--scale", "2", "--quiet", "--json-report", report]
    result = run(sample, tmp_path / "o.mp4", *options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    data = json.loads(report.read_text())
    assert data["frames"] == 10
    assert (data["settings"]["video"]["width"], data["settings"]["video"]["height"]) == (416, 176)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "report.json"]


def test_probe_with_a_target_prints_what_a_run_would_do(run: Run, tmp_path: Path, sample: Path) -> None:
    """All of it decided, as in the report of that run."""
    arguments = ("probe", sample, tmp_path / "o.mp4", "--model", "bicubic", "--duration", "0.2")
    lines = run(*arguments, "--scale", "2").stdout.splitlines()
    told = lines[next(i for i, line in enumerate(lines) if line.startswith("result: ")) :]
    assert [line.partition(" ")[0] for line in told] == ["result:", "model", "work:"]
    assert told[0] == "result: mp4: libx264 crf 16, 416x176, yuv420p, 25 fps"
    settings = json.loads(run(*arguments, "--json").stdout)["settings"]
    assert list(tmp_path.iterdir()) == []
    report = tmp_path / "report.json"
    run(*arguments[1:], "--quiet", "--json-report", report)
    assert json.loads(report.read_text())["settings"] == _without_none(settings)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["IN", "--model", "compactt"], 1, "there is no model 'compactt'"),
        (["IN", "--model", "compact+"], 2, "model 'compact+' is no name and no path"),
        (["IN", "TMP/none/out.mp4"], 1, "TMP/none does not exist"),
        (["IN", "TMP/out.xyz"], 2, "out.xyz"),
        (["IN", "IN"], 1, "is an input itself"),
    ],
)
def test_probe_refuses_what_a_run_refuses(
    run: Run, tmp_path: Path, sample: Path, arguments: list[str], status: int, message: str
) -> None:
    given = [argument.replace("IN", str(sample)).replace("TMP", str(tmp_path)) for argument in arguments]
    assert_refused(run("probe", *given), status, message.replace("TMP", str(tmp_path)))
    whole = given if len(arguments) == 2 else [given[0], str(tmp_path / "o.mp4"), *given[1:]]
    assert_refused(run(*whole), status, message.replace("TMP", str(tmp_path)))


def test_probe_takes_a_target_that_is_there_or_behind_a_url(run: Run, tmp_path: Path, sample: Path) -> None:
    (tmp_path / "o.mp4").touch()
    for target in (tmp_path / "o.mp4", "s3://bucket/o.mp4"):
        assert "result: mp4" in run("probe", sample, target, "--model", "bicubic", "--duration", "0.2").stdout


def _without_none(data: Any) -> Any:
    """As a report leaves it out."""
    return {k: _without_none(v) for k, v in data.items() if v is not None} if isinstance(data, dict) else data


def test_probe_tells_size_frames_shots_and_preset_in_words_and_the_cost_with_a_target(
    run: Run, tmp_path: Path, sample: Path
) -> None:
    text = run("probe", sample).stdout
    assert "MP4 / QuickTime (mov), 56.0 kB, 0:00:02, 2 streams" in text
    assert "about 50 frames are written" in text
    assert "colour: not tagged; BT.601 and limited range assumed, as players do" in text
    assert "preset: none, the defaults suit it" in text
    assert "work:" not in text
    text = run("probe", sample, tmp_path / "o.mp4", "--model", "bicubic", "--shots").stdout
    assert "50 frames are written, shots: 2" in text
    assert "result: mp4: libx264 crf 16, 832x352" in text
    assert "work: about" in text
    data = json.loads(run("probe", sample, tmp_path / "o.mp4", "--model", "bicubic", "--shots", "--json").stdout)
    assert data["source"]["container"] == "mov,mp4,m4a,3gp,3g2,mj2"
    assert (data["frames"], data["shots"], data["preset"]) == (50, 2, None)
    assert data["estimate"]["disk"] == 2 * data["estimate"]["size"] > 0
    assert list(tmp_path.iterdir()) == []


def test_probe_suggests_a_preset(run: Run, sample: Path, tmp_path: Path) -> None:
    lossless = tmp_path / "master.mkv"
    run(sample, lossless, "--model", "bicubic", "--duration", "0.2", "--encoder", "ffv1", "--quiet")
    assert "preset: --preset archive-master suits it: the source is lossless" in run("probe", lossless).stdout


def test_progress_without_a_terminal_is_plain_lines(run: Run, tmp_path: Path, sample: Path) -> None:
    result = run(sample, tmp_path / "o.mp4", "--model", "bicubic", "--duration", "0.4")
    assert result.returncode == 0, result.stderr
    assert "10/10 frames" in result.stderr
    assert "\x1b" not in result.stderr
    assert "kept: 1 audio" in result.stderr.splitlines()[-1]


def test_interrupted_twice_leaves_no_target(tmp_path: Path, sample: Path) -> None:
    target = tmp_path / "o.mp4"
    process = subprocess.Popen([*COMMAND, str(sample), str(target), "--chunk", "1"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("upscaling"):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert not target.exists()
    assert not list(tmp_path.rglob("*.part*"))


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "nothing.mp4", tmp_path / "o.mp4", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_help_does_not_need_torch() -> None:
    code = "import sys; sys.argv = ['dossr-video', '--help']\nfrom dossr_video.cli.commands import main\n"
    check = "import atexit; atexit.register(lambda: print('torch' in sys.modules))\n"
    result = subprocess.run([sys.executable, "-c", code + check + "main()"], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("False")
    assert "dossr-video IN OUT" in result.stdout


def test_where_a_report_cannot_be_written_the_same_command_writes_it_without_the_work(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, told, picture = (tmp_path / name for name in ("a.html", "a.json", "a.png"))
    command = [str(sample), str(tmp_path / "out.mp4"), "--model", "bicubic", "--scale", "1", "--end", "0.4"]
    command += ["--report", str(page), "--json-report", str(told), "--before-after", str(picture)]
    settle = durable.settle_new

    def full(part: Path, path: Path) -> None:
        if path == told:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        settle(part, path)

    monkeypatch.setattr(durable, "settle_new", full)
    failed = CliRunner().invoke(app, command)
    assert isinstance(failed.exception, TargetError)
    assert "the disk is full" in str(failed.exception)
    monkeypatch.setattr(durable, "settle_new", settle)
    made = (tmp_path / "out.mp4").stat()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "out.mp4").stat() == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "a.png", "out.mp4"]
    refused = CliRunner().invoke(app, command)
    assert "exists" in str(refused.exception)


def test_files_that_came_while_the_work_went_on_are_not_overwritten(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the run that began before they came, nor in the one that goes on with it."""
    page, told = tmp_path / "a.html", tmp_path / "a.json"
    command = [str(sample), str(tmp_path / "out.mp4"), "--model", "bicubic", "--scale", "1", "--end", "0.4"]
    command += ["--report", str(page), "--json-report", str(told)]
    settle = durable.settle_new

    def late(part: Path, path: Path) -> None:
        settle(part, path)
        if path == page:
            told.write_text("mine")

    monkeypatch.setattr(durable, "settle_new", late)
    for _ in range(2):
        failed = CliRunner().invoke(app, command)
        assert "a.json" in str(failed.exception)
        assert told.read_text() == "mine"
    told.unlink()
    page.write_text("mine too")  # in place of the one that the first run has written
    assert "a.html exists" in str(CliRunner().invoke(app, command).exception)
    page.unlink()
    monkeypatch.setattr(durable, "settle_new", settle)
    assert CliRunner().invoke(app, command).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "out.mp4"]


def test_the_second_ctrl_c_ends_at_once_and_tells_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*arguments: object, **options: object) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    before = {number: signal.getsignal(number) for number in (*STOPS, PAUSE)}
    monkeypatch.setattr("dossr_video.jobs.run.run_job", press)
    monkeypatch.setattr("sys.argv", ["dossr-video", "in.mp4", "out.mp4"])
    with pytest.raises(SystemExit) as stop:
        main()
    for number, previous in before.items():
        signal.signal(number, previous)
    assert stop.value.code == 130
    assert "give the same command again to go on" in capsys.readouterr().err


def test_the_bare_command_prints_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "Commands:" in result.output


@pytest.mark.parametrize("arguments", [["prob"], ["probee", "in.mp4"], ["probee", "in.mp4", "--json"]])
def test_a_mistyped_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").write_bytes(sample.read_bytes())
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, SettingsError)
    assert error.message == f"{arguments[0]!r} is no command, and no file"
    assert error.hint == "did you mean probe?"
    (tmp_path / arguments[0]).mkdir()  # what is there is a source
    assert "is no command" not in str(CliRunner().invoke(app, arguments).exception)


def test_a_file_that_is_not_there_is_no_command() -> None:
    assert "is no command" not in str(CliRunner().invoke(app, ["probe.mp4", "out.mp4"]).exception)


def test_help_shows_what_most_people_need_and_help_all_everything() -> None:
    brief, everything = (
        CliRunner().invoke(app, ["upscale", option], prog_name="dossr-video").output
        for option in ("--help", "--help-all")
    )
    assert "--crf" in brief
    assert "--corrected-third-order" not in brief
    assert "more options: dossr-video upscale --help-all" in brief
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in everything
    assert "--crf" not in CliRunner().invoke(app, ["probe", "--help"]).output


def test_defaults_of_zero_are_shown() -> None:
    everything = CliRunner().invoke(app, ["upscale", "--help-all"]).output
    assert "the same seed gives the same result [0]" in " ".join(everything.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.exit_code == 0
    assert "_DOSSR_VIDEO_COMPLETE" in result.output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dossr-video pr", {"presets", "preview", "probe"}),
        ("dossr-video in.mp4 out.mp4 --cr", {"--crf"}),
        ("dossr-video in.mp4 out.mp4 --preset vh", {"vhs"}),
        ("dossr-video in.mp4 out.mp4 --model bi", {"bicubic"}),
        ("dossr-video in.mp4 out.mp4 --encoder ff", {"ffv1", "ffvhuff"}),
    ],
)
def test_tab_completes_commands_options_and_values(line: str, expected: set[str]) -> None:
    words = line.split()
    complete = get_completion_class("bash")
    assert complete is not None
    found = complete(app, {}, "dossr-video", "_DOSSR_VIDEO_COMPLETE").get_completions(words[1:-1], words[-1])
    assert {item.value for item in found if item.type == "plain"} == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("words", "expected"), [("pr", "presets preview probe"), ("i.mp4 o.mp4 --preset vh", "vhs")])
def test_bash_completes_what_may_also_be_a_file(tmp_path: Path, words: str, expected: str) -> None:
    command = tmp_path / "dossr-video"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dossr_video "$@"\n')
    command.chmod(0o755)
    lines = (
        CliRunner().invoke(app, ["completion", "bash"]).output,
        f"COMP_WORDS=(dossr-video {words}) COMP_CWORD={len(words.split())}",
        f'_dossr_video_completion "{command}"',
        'echo "${COMPREPLY[@]}"',
    )
    root = Path(__file__).parents[2]
    run = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, cwd=root)
    assert run.stdout.strip() == expected, run.stderr


def test_the_names_of_the_models_are_those_of_the_registry() -> None:
    from dossr_video.models.registry import BUILT_IN

    assert set(MODELS) == {"auto", *BUILT_IN}
