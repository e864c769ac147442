"""Jobs that move on when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from intarsia import errors
from intarsia.v1 import jobs_pb2, jobs_pb2_grpc
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.double.fault import Fault
from tests.intarsia.double.recorded_calls import RecordedCalls

FINISHED = (Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED)


class JobsDouble(RecordedCalls, jobs_pb2_grpc.JobsServicer):
    """Keeps every state that a job was in; the last one is its present one."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, list[Job]] = {}
        self.watchers = 0
        self.by_hand = False

    def add_result(self, job: Job) -> None:
        """Sets what a job has made."""

    def advance(self, name: str, **progress: Any) -> None:
        self._move(name, lambda job: job.progress.MergeFrom(jobs_pb2.Progress(**progress)), Job.STATE_RUNNING)

    def finish(self, name: str, state: Job.State, failure: jobs_pb2.Failure | None = None) -> None:
        def end(job: Job) -> None:
            if failure is not None:
                job.failure.CopyFrom(failure)

        self._move(name, end, state)

    def succeed(self, name: str) -> None:
        self._move(name, self.add_result, Job.STATE_SUCCEEDED)

    def GetJob(self, request: Any, context: Any) -> Job:
        self._arrived("GetJob", request, context)
        return self._job(request.name, context)[-1]

    def ListJobs(self, request: Any, context: Any) -> jobs_pb2.ListJobsResponse:
        self._arrived("ListJobs", request, context)
        found = [history[-1] for history in reversed(self.jobs.values())]
        found = [job for job in found if not request.states or job.state in request.states]
        found = [job for job in found if not request.methods or job.method in request.methods]
        found = [job for job in found if set(request.labels) <= set(job.labels)]
        start = int(request.page_token or 0)
        end = start + request.page_size
        token = str(end) if end < len(found) else ""
        return jobs_pb2.ListJobsResponse(jobs=found[start:end], next_page_token=token)

    def WatchJob(self, request: Any, context: Any) -> Iterator[Job]:
        fault = self._arrived("WatchJob", request, context)
        history = self._job(request.name, context)
        context.add_callback(lambda: self._left(request))
        with self._changed:
            self.watchers += 1
            self._changed.notify_all()
        seen = len(history) - 1 if self.by_hand else 0
        while context.is_active():
            with self._changed:
                while len(history) == seen and context.is_active():
                    self._changed.wait()
            for job in history[seen:]:
                if fault and seen >= fault.after_chunks:
                    fault.strike(context)
                seen += 1
                yield job
                if job.state in FINISHED:
                    return

    def CancelJob(self, request: Any, context: Any) -> Job:
        self._arrived("CancelJob", request, context)
        history = self._job(request.name, context)
        if history[-1].state not in FINISHED:
            kept = self.add_result if request.keep_partial else lambda job: None
            self._move(request.name, kept, Job.STATE_CANCELLED)
        return history[-1]

    def PauseJob(self, request: Any, context: Any) -> Job:
        return self._set(
            "PauseJob", request, context, (Job.STATE_QUEUED, Job.STATE_RUNNING), Job.STATE_PAUSED
        )

    def ResumeJob(self, request: Any, context: Any) -> Job:
        return self._set("ResumeJob", request, context, (Job.STATE_PAUSED,), Job.STATE_QUEUED)

    def RetryJob(self, request: Any, context: Any) -> Job:
        ended = (Job.STATE_FAILED, Job.STATE_CANCELLED)
        return self._set("RetryJob", request, context, ended, Job.STATE_QUEUED)

    def _set(
        self, method: str, request: Any, context: Any, before: tuple[Job.State, ...], after: Job.State
    ) -> Job:
        """Moves a job from one of some states to another, and leaves any other job as it is."""
        fault = self._arrived(method, request, context)
        history = self._job(request.name, context)
        if history[-1].state in before:
            self._move(request.name, lambda job: job.ClearField("failure"), after)
        if fault:
            fault.strike(context)
        return history[-1]

    def _left(self, request: Any) -> None:
        with self._changed:
            self.watchers -= 1
            self._changed.notify_all()
        if request.cancel_on_disconnect and self.jobs[request.name][-1].state not in FINISHED:
            self.finish(request.name, Job.STATE_CANCELLED)

    def _job(self, name: str, context: Any) -> list[Job]:
        if name not in self.jobs:
            Fault(errors.NotFound(f"no {name}")).strike(context)
        return self.jobs[name]

    def _move(self, name: str, change: Callable[[Job], None], state: Job.State) -> None:
        with self._changed:
            job = Job()
            job.CopyFrom(self.jobs[name][-1])
            job.state = state
            change(job)
            self.jobs[name].append(job)
            self._changed.notify_all()
