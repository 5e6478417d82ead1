"""A real Ray cluster on this machine: two actors, one of them killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dossr_video.errors import Interrupted, JobError, ModelError
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.resolve import worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

if TYPE_CHECKING:
    from dossr_video.jobs.execute.ray import RayExecutor

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
Content = Callable[[Path], dict[str, Any]]


def test_a_machine_on_which_ray_does_not_start_is_told(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from dossr_video.jobs.execute.ray import RayExecutor

    def late(**options: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(JobError, match="Ray does not start on this machine: The current node timed out"):
        RayExecutor(worker_spec(tiny), address="local")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "nonsense", "127.0.0.1:", "auto"])
def test_an_address_where_no_cluster_is_is_refused_at_once(
    address: str, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dossr_video.jobs.execute.ray import RayExecutor

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(JobError, match=f"no Ray cluster answers at {address}: .+") as refusal:
        RayExecutor(worker_spec(tiny), address=address)
    assert "\n" not in refusal.value.message


def test_what_answers_but_is_not_ray_is_refused(tiny: Settings) -> None:
    from dossr_video.jobs.execute.ray import RayExecutor

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(JobError, match="is not Ray"):
            RayExecutor(worker_spec(tiny), address=f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """As `--ray local` starts it, but of two workers on any machine."""
    from dossr_video.jobs.execute import ray as executor

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "192.0.2.1:6379")  # of a cluster that nobody asked for
        patch.setattr(ray, "init", partial(ray.init, num_cpus=2, num_gpus=0))
        executor._connect("local")
    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    executor._knock(address)
    yield
    ray.shutdown()


def test_the_error_of_a_worker_comes_back_as_it_was(cluster: None, tiny: Settings) -> None:
    from dossr_video.jobs.execute.ray import RayExecutor

    with pytest.raises(ModelError, match="there is no model"):
        RayExecutor(worker_spec(tiny.model_copy(update={"model": "nothing"})), address="local")


@pytest.fixture(scope="module")
def executor(cluster: None, tiny: Settings) -> RayExecutor:
    from dossr_video.jobs.execute.ray import RayExecutor

    return RayExecutor(worker_spec(tiny), address="local")


def pids(executor: RayExecutor) -> list[int]:
    """Of the actors, once all are up."""
    try:
        return [ray.get(member.actor.__ray_call__.remote(lambda self: os.getpid())) for member in executor._members]
    except ray.exceptions.RayActorError:
        time.sleep(0.2)
        return pids(executor)


def test_two_workers_give_what_one_gives(
    executor: RayExecutor, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    events: list[Progress] = []
    assert len(executor._members) == 2
    run_job(clip, tmp_path / "out.mp4", tiny, executor=executor, on_progress=events.append)
    assert [event.done for event in events if event.stage == "upscaling"][-1] == 54
    assert content(tmp_path / "out.mp4") == whole


def test_a_worker_killed_in_the_middle_of_a_segment_costs_nothing_but_time(
    executor: RayExecutor, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    member, victim = executor._members[1], pids(executor)[1]
    killed = threading.Event()

    def kill() -> None:
        while member.task is None:
            time.sleep(0.001)
        os.kill(victim, signal.SIGKILL)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    run_job(clip, tmp_path / "out.mp4", tiny, executor=executor)
    thread.join()
    assert killed.is_set()
    assert content(tmp_path / "out.mp4") == whole
    assert victim not in pids(executor)


def test_interrupted_and_finished_by_another_executor(
    executor: RayExecutor, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    done = 0

    def watch(event: Progress) -> None:
        nonlocal done
        done = event.done if event.stage == "upscaling" else 0

    with pytest.raises(Interrupted):
        run_job(clip, tmp_path / "out.mp4", tiny, executor=executor, on_progress=watch, cancelled=lambda: done > 0)
    assert run_job(clip, tmp_path / "out.mp4", tiny).resumed > 0
    assert content(tmp_path / "out.mp4") == whole
