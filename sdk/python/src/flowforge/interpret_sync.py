"""Calls of functions that are not async.

The function runs in the thread at hand. A step that is not remembered runs at once if it may; any other one ends the call with an
`Interrupt`. Branches of parallel steps run one after another: each until its first step that is not remembered, and all of these
are planned, so that the server has them run side by side.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from concurrent.futures import Future, wait
from typing import Any, Callable, List, Optional, Sequence

from . import scope
from .call import ENTRY, Answer, Call, Memo, Progress, Wanted
from .errors import Interrupt, StepUsageError
from .interpret_async import missing, too_late
from .plan import Plan
from .values import plain


class SyncInterpreter:
    """See above. One for each call."""

    def __init__(self, call: Call) -> None:
        self.progress = Progress(call)
        self._planned: List[Wanted] = []
        self._over = False

    def take(self, plan: Plan) -> Any:
        """Gives what the step has given, in this call or an earlier one; or raises Interrupt."""
        inside = scope.running_step.get()
        if inside is not None:
            raise StepUsageError(f'step "{plan.id}" is within step "{inside}"; what a step runs cannot have steps')
        branch = scope.branch.get()
        if self._over or (branch is not None and branch.interrupted):
            raise self.progress.interrupt()
        wanted = self.progress.want(plan, branch is not None and branch.race)
        memo = self.progress.memo(wanted)
        if memo is None:
            memo = self._begin(wanted, branch)
        if branch is not None:
            branch.finished = max(branch.finished, self.progress.rank.get(wanted.hash, len(self.progress.rank)))
        return self.progress.read(memo, plan)

    def _begin(self, wanted: Wanted, branch: Optional[scope.Branch]) -> Memo:
        here = branch is None and wanted.plan.runs_here and self.progress.can_run()
        if wanted.hash == self.progress.call.target or here:
            memo = self._run(wanted)
            if memo is not None:
                return memo
            self._over = True
        else:
            self._planned.append(wanted)
            if branch is None:
                self._over = True
            else:
                branch.interrupted = True
        raise self.progress.interrupt()

    def _run(self, wanted: Wanted) -> Optional[Memo]:
        started = time.time_ns()
        token = scope.running_step.set(wanted.plan.id)
        failure: Optional[Exception] = None
        data = None
        try:
            data = plain(_call(wanted.plan) if wanted.plan.seconds is None else _call_in_time(wanted.plan, wanted.plan.seconds))
        except Exception as error:
            failure = error
        finally:
            scope.running_step.reset(token)
        timing = {"a": started, "b": max(0, time.time_ns() - started)}
        if failure is None:
            self.progress.succeeded(wanted, data, timing)
        else:
            self.progress.failed(wanted, failure, timing)
        return None if self.progress.answer is not None else self.progress.memo(wanted)

    def parallel(self, branches: Sequence[Callable[[], Any]], race: bool) -> Any:
        """Runs branches side by side; gives the results of all, or that of the first."""
        outer = scope.branch.get()
        before = len(self._planned)
        marks = [scope.Branch(race) for _ in branches]
        results: List[Any] = []
        for each, mark in zip(branches, marks):
            if not callable(each):
                raise StepUsageError("in a function that is not async, branches are functions: step.parallel(lambda: step.run(...), ...)")
            results.append(self._branch(each, mark))
        done = [(mark.finished, place) for place, mark in enumerate(marks) if not mark.interrupted]
        if (race and not done) or (not race and len(done) < len(marks)):
            if outer is None:
                self._over = True
            else:
                outer.interrupted = True
            raise self.progress.interrupt()
        chosen = [min(done)[1]] if race else list(range(len(marks)))
        if outer is not None:
            outer.finished = max([outer.finished, *(marks[place].finished for place in chosen)])
        if race:  # what the others have come to is no longer wanted
            del self._planned[before:]
        for place in chosen:
            if isinstance(results[place], _Raised):
                raise results[place].error
        return results[chosen[0]] if race else results

    def _branch(self, branch: Callable[[], Any], mark: scope.Branch) -> Any:
        def enter() -> Any:
            scope.branch.set(mark)
            return branch()

        try:
            return contextvars.copy_context().run(enter)
        except Interrupt:
            if self._over:
                raise
            mark.interrupted = True
            return None
        except Exception as error:
            return _Raised(error)

    def run(self, function: Callable[[], Any]) -> Answer:
        """Makes the call: runs the function until it ends, or the server is to do something."""
        return contextvars.copy_context().run(self._main, function)

    def _main(self, function: Callable[[], Any]) -> Answer:
        scope.current.set(self)
        scope.branch.set(None)
        scope.running_step.set(None)
        ended: Answer
        try:
            ended = Answer(output=plain(function()))
        except Interrupt:
            ended = Answer(ops=[])
        except (Exception, SystemExit) as error:
            ended = Answer.of_error(error)
        if self.progress.answer is not None:
            return self.progress.answer
        if not self._over:
            return ended
        if self.progress.call.target != ENTRY:
            return missing(self.progress.call.target)
        return Answer(ops=[wanted.operation() for wanted in self._planned])


class _Raised:
    """What a branch raised, until it is known whether that counts."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _call_in_time(plan: Plan, seconds: float) -> Any:
    """Calls it in a thread of its own, which cannot be stopped: it is left alone when it takes too long."""
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(_call(plan))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"flowforge-{plan.id}", daemon=True).start()
    if not wait([outcome], seconds).done:
        raise too_late(plan)
    return outcome.result()


def _call(plan: Plan) -> Any:
    assert plan.handler is not None
    result = plan.handler(*plan.arguments)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(value: Any) -> Any:
    return await value
