"""What an earlier run of a job has left: whether this one may go on with it."""

from __future__ import annotations

from collections.abc import Callable

from dossr_video.errors import JobError
from dossr_video.jobs import durable
from dossr_video.jobs.fingerprint import Fingerprint
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan, make_plan
from dossr_video.names import shown
from dossr_video.runspec import RunSpec
from dossr_video.video.info import SourceInfo


def agreed_plan(
    folder: JobFolder,
    source: SourceInfo,
    spec: RunSpec,
    *,
    warn: Callable[[str], None],
    on_frame: Callable[[int], None],
) -> Plan:
    """The plan of an earlier run where it is still the one to follow, else a new one, see make_plan.

    Raises JobError when segments are finished by the plan of another input, other settings or another version.
    """
    if folder.plan.exists():
        try:
            plan = Plan.loads(folder.plan.read_bytes(), path=folder.plan)
        except JobError:
            if folder.has_work():
                raise
            folder.clear()
        else:
            if plan is None:
                warn(f"{shown(folder.plan)} is not what was written; the input is analysed again")
            else:
                now = Fingerprint.of(source.path, spec, plan.fingerprint.source, told=lambda: on_frame(0))
                if _fits(plan, folder, now):
                    return plan
    plan = make_plan(source, spec, on_frame=on_frame)
    durable.write(folder.plan, plan.dumps())
    return plan


def _fits(plan: Plan, folder: JobFolder, now: Fingerprint) -> bool:
    """Whether it is the plan of this input and these settings; JobError when work that was done by it would go."""
    changes = plan.fingerprint.changes_to(now)
    if changes and folder.has_work():
        before = plan.fingerprint.version
        way = "give the same input and options as before"
        if before != now.version:
            way = f"finish it with the version that began it (pip install dossr-video=={before})"
        raise JobError(
            f"{folder.path} holds finished segments of another run ({'; '.join(changes)})",
            hint=f"{way}, or begin anew with --restart",
        )
    if changes:
        folder.clear()
    return not changes
