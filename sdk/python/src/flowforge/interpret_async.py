"""Calls of async functions.

The function runs as a task. When it comes to a step that is not remembered, it waits there for its turn; the driver lets everything
run until nothing moves without a step any more, and then decides: one step alone runs here and now, several are planned, so that the server
has them run side by side. What the function waits for when the call ends is ended by an `Interrupt`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from functools import partial
from typing import Any, Awaitable, Callable, List, Optional, Sequence, Set, Union

from . import scope
from .call import ENTRY, Answer, Call, Memo, Progress, Wanted
from .errors import Interrupt, StepUsageError, TimeLimitError
from .plan import Plan
from .values import plain

QUIET_TURNS = 12  # of the event loop without news: then whoever was to come to a step has come
MISSING_SECONDS = 5.0  # until a step that a call is for, and that the function does not come to, is missing
UNWIND_SECONDS = 5.0  # for what the function does when its call ends

AsyncBranch = Union[Awaitable[Any], Callable[[], Awaitable[Any]]]


class _Waiting:
    """A step that waits for its turn."""

    def __init__(self, wanted: Wanted, turn: asyncio.Future[None]) -> None:
        self.wanted = wanted
        self.turn = turn


class _Race:
    """Branches of which the first to finish counts."""

    def __init__(self, tasks: List[asyncio.Task[Any]], branches: List[scope.Branch], won: asyncio.Future[asyncio.Task[Any]]) -> None:
        self.tasks = tasks
        self.branches = branches
        self.won = won

    def winner(self) -> Optional[asyncio.Task[Any]]:
        """Of the branches that are done the one whose steps finished first; the same on every call."""
        done = [(branch.finished, place) for place, branch in enumerate(self.branches) if self.tasks[place].done()]
        return self.tasks[min(done)[1]] if done else None


class AsyncInterpreter:
    """See above. One for each call."""

    def __init__(self, call: Call) -> None:
        self.progress = Progress(call)
        self._waiting: List[_Waiting] = []
        self._races: List[_Race] = []
        self._tasks: Set[asyncio.Task[Any]] = set()
        self._running = 0
        self._news = 0
        self._moved = asyncio.Event()

    # --- what steps ask of us ---

    async def take(self, plan: Plan) -> Any:
        """Gives what the step has given, in this call or an earlier one; or does not return."""
        inside = scope.running_step.get()
        if inside is not None:
            raise StepUsageError(f'step "{plan.id}" is within step "{inside}"; what a step runs cannot have steps')
        self._note_task()
        if self.progress.answer is not None:
            raise self.progress.interrupt()
        branch = scope.branch.get()
        wanted = self.progress.want(plan, branch is not None and branch.race)
        memo = self.progress.memo(wanted)
        if memo is None:
            await self._turn(wanted)
            memo = await self._run(wanted)
        if branch is not None:
            branch.finished = max(branch.finished, self.progress.rank.get(wanted.hash, len(self.progress.rank)))
        return self.progress.read(memo, plan)

    async def parallel(self, branches: Sequence[AsyncBranch], race: bool) -> Any:
        """Runs branches side by side; gives the results of all, or that of the first."""
        marks = [scope.Branch(race) for _ in branches]
        tasks = [asyncio.ensure_future(self._branch(each, mark)) for each, mark in zip(branches, marks)]
        try:
            if race:
                return (await self._first(tasks, marks)).result()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        outer = scope.branch.get()
        if outer is not None:
            outer.finished = max([outer.finished, *(mark.finished for mark in marks)])
        return list(results)

    async def _branch(self, branch: AsyncBranch, mark: scope.Branch) -> Any:
        scope.branch.set(mark)
        return await (branch() if callable(branch) else branch)

    async def _first(self, tasks: List[asyncio.Task[Any]], marks: List[scope.Branch]) -> asyncio.Task[Any]:
        race = _Race(tasks, marks, asyncio.get_running_loop().create_future())
        self._races.append(race)
        for task in tasks:
            task.add_done_callback(lambda _: self._move())
        try:
            winner = await race.won
        finally:
            self._races.remove(race)
        outer = scope.branch.get()
        if outer is not None:
            outer.finished = max(outer.finished, marks[tasks.index(winner)].finished)
        return winner

    # --- steps ---

    def _note_task(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _move(self) -> None:
        self._news += 1
        self._moved.set()

    async def _turn(self, wanted: Wanted) -> None:
        waiting = _Waiting(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._move()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if not waiting.turn.cancelled():  # it was its turn already
                self._running -= 1
                self._move()
            raise
        finally:
            self._waiting.remove(waiting)

    async def _run(self, wanted: Wanted) -> Memo:
        started = time.time_ns()
        failure: Optional[Exception] = None
        data = None
        try:
            try:
                data = plain(await self._handle(wanted.plan))
            except Exception as error:
                failure = error
            timing = {"a": started, "b": max(0, time.time_ns() - started)}
            tell = partial(self.progress.succeeded, wanted, data, timing)
            if failure is not None:
                tell = partial(self.progress.failed, wanted, failure, timing)
            await asyncio.to_thread(tell)
        finally:
            self._running -= 1
            self._move()
        memo = self.progress.memo(wanted)
        if self.progress.answer is not None or memo is None:
            raise self.progress.interrupt()
        return memo

    async def _handle(self, plan: Plan) -> Any:
        token = scope.running_step.set(plan.id)
        try:
            return await (_call(plan) if plan.seconds is None else _call_in_time(plan, plan.seconds))
        finally:
            scope.running_step.reset(token)

    # --- the driver ---

    async def run(self, function: Callable[[], Any]) -> Answer:
        """Makes the call: runs the function until it ends, or the server is to do something."""
        main = asyncio.ensure_future(self._main(function))
        main.add_done_callback(lambda _: self._move())
        try:
            while not main.done() and self.progress.answer is None:
                await self._settle(main)
                if not main.done() and self.progress.answer is None and not self._end_races():
                    await self._decide()
        finally:
            await self._unwind(main)
        return self.progress.answer or self._ended(main)

    async def _main(self, function: Callable[[], Any]) -> Any:
        scope.current.set(self)
        scope.branch.set(None)
        scope.running_step.set(None)
        self._note_task()
        result = function()
        return plain(await result if inspect.isawaitable(result) else result)

    async def _settle(self, main: asyncio.Task[Any]) -> None:
        """Waits until the function is done, or stands at steps and nothing moves any more."""
        quiet = 0
        while quiet < QUIET_TURNS and not main.done():
            if self._running or not (self._waiting or any(race.winner() for race in self._races)):
                self._moved.clear()
                await self._moved.wait()
                quiet = 0
            seen = self._news
            await asyncio.sleep(0)
            quiet = quiet + 1 if seen == self._news else 0

    def _end_races(self) -> bool:
        ended = False
        for race in self._races:
            winner = race.winner()
            if winner is not None and not race.won.done():
                race.won.set_result(winner)
                ended = True
        return ended

    def _let_run(self, waiting: _Waiting) -> None:
        self._running += 1
        waiting.turn.set_result(None)

    async def _decide(self) -> None:
        progress = self.progress
        waiting = [each for each in self._waiting if not each.turn.done()]
        if progress.call.target != ENTRY:
            aimed = [each for each in waiting if each.wanted.hash == progress.call.target]
            if aimed:
                self._let_run(aimed[0])
            else:
                await self._await_news()
        elif len(waiting) == 1 and waiting[0].wanted.plan.runs_here and progress.can_run():
            self._let_run(waiting[0])
        elif waiting:
            progress.end(Answer(ops=[each.wanted.operation() for each in waiting]))

    async def _await_news(self) -> None:
        """The function has not come to the step the call is for; it may yet, when it is back from somewhere else."""
        self._moved.clear()
        try:
            await asyncio.wait_for(self._moved.wait(), MISSING_SECONDS)
        except asyncio.TimeoutError:
            self.progress.end(missing(self.progress.call.target))

    async def _unwind(self, main: asyncio.Task[Any]) -> None:
        if self.progress.answer is None and not main.done():
            self.progress.end(Answer(ops=[]))
        for waiting in list(self._waiting):
            if not waiting.turn.done():
                waiting.turn.set_exception(self.progress.interrupt())
        for race in list(self._races):
            if not race.won.done():
                race.won.set_exception(self.progress.interrupt())
        left = {task for task in {main, *self._tasks} if not task.done()}
        if left:
            await asyncio.wait(left, timeout=0.2)
        for task in left:
            task.cancel()
        if any(not task.done() for task in left):
            await asyncio.wait(left, timeout=UNWIND_SECONDS)
        for task in {main, *left}:
            if task.done() and not task.cancelled():
                task.exception()  # it is known; asyncio need not complain of it

    @staticmethod
    def _ended(main: asyncio.Task[Any]) -> Answer:
        if main.cancelled():
            return Answer.of_error(RuntimeError("the function was cancelled"))
        error = main.exception()
        if isinstance(error, Interrupt):
            return Answer.of_error(StepUsageError("the function raised an Interrupt of another call"))
        return Answer(output=main.result()) if error is None else Answer.of_error(error)


async def _call(plan: Plan) -> Any:
    assert plan.handler is not None
    if inspect.iscoroutinefunction(plan.handler):
        return await plan.handler(*plan.arguments)
    result = await asyncio.to_thread(plan.handler, *plan.arguments)
    return await result if inspect.isawaitable(result) else result


async def _call_in_time(plan: Plan, seconds: float) -> Any:
    call = asyncio.ensure_future(_call(plan))
    try:
        await asyncio.wait({call}, timeout=seconds)
        if not call.done():
            raise too_late(plan)
        return call.result()
    finally:
        call.cancel()


def too_late(plan: Plan) -> TimeLimitError:
    """What a step fails with that takes longer than it may."""
    return TimeLimitError(f'step "{plan.id}" took longer than {plan.opts["timeout"]}')


def missing(target: str) -> Answer:
    """The answer to a call for a step that the function does not have."""
    message = "the function did not come to the step it was called for: has its code changed?"
    return Answer(
        ops=[
            {
                "op": "StepNotFound",
                "id": target,
                "name": target,
                "displayName": target,
                "opts": {},
                "error": {"name": "StepNotFound", "message": message},
            }
        ]
    )
