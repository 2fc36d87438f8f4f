"""Functions as jobs on this machine, from outside: programs that import afield, with nothing configured."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from afield.testing.processes import command_line
from afield.testing.sandbox import Sandbox

HEAD = """\
import concurrent.futures, os, sys, threading
import afield as af
"""


def run(sandbox: Sandbox, program: str, *, head: str = HEAD, within_s: float = 90) -> str:
    """What a program prints that runs in the project folder and has to end well."""
    (sandbox.project / "afield.toml").touch()
    (sandbox.project / "main.py").write_text(head + textwrap.dedent(program))
    words = [sys.executable, "main.py"]
    done = subprocess.run(
        words, cwd=sandbox.project, env=sandbox.env, capture_output=True, timeout=within_s, check=False
    )
    assert done.returncode == 0, sandbox.story(done.stdout, done.stderr)
    return done.stdout.decode()


CLASSES = """\
FACTOR = 3

class Odd(Exception):
    pass

class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b

def helper(x):
    return x * FACTOR

@af.function
def work(pair: Pair) -> Pair:
    print("hello from", af.current().job)
    if pair.a == 0:
        raise Odd("zero")
    return Pair(helper(pair.a), pair.b)

call = work.submit(Pair(2, "b"))
back = call.result(60)
assert isinstance(back, Pair) and (back.a, back.b) == (6, "b")
assert (call.done(), call.running(), call.exception(), call.name) == (True, False, None, "work")
assert list(call.logs()) == ["hello from 1"], list(call.logs())
failed = work.submit(Pair(0, ""))
try:
    failed.result(60)
except Odd as error:
    cause = error.__cause__
    assert isinstance(cause, af.RemoteError) and "in work" in cause.traceback, cause
    assert 'raise Odd("zero")' in str(cause) or "Odd: zero" in str(cause)
assert failed.refresh().exit_status == 1
assert work.options(name="other").submit(Pair(1, 1)).name == "other"
print("fine")
"""


def test_values_exceptions_and_classes_of_main_come_back(sandbox: Sandbox) -> None:
    said = run(
        sandbox,
        CLASSES,
    )
    assert said == "fine\n"


def test_a_function_may_call_itself_and_threads_may_submit(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        @af.function
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)

        found = {}
        def one(n):
            found[n] = fib.submit(n).result(60)
        threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {0: 0, 1: 1, 2: 1, 3: 2, 4: 3, 5: 5}, found
        """,
    )


def test_the_program_in_the_docs_says_what_the_docs_say(sandbox: Sandbox) -> None:
    text = (Path(__file__).parents[2] / "docs/python.md").read_text()
    program = text.partition("`sweep.py`:\n\n```python\n")[2].partition("```")[0]
    promised = text.partition("$ python sweep.py\n")[2].partition("```")[0]
    said = run(sandbox, program, head="")
    assert re.sub(r"Call \d+", "Call N", said).split("Traceback")[0] == re.sub(
        r"Call \d+", "Call N", promised.split("Traceback")[0]
    )
    assert said.splitlines()[-2] == promised.splitlines()[-1]


def test_map_is_in_order_or_as_done_and_one_failure_is_raised_in_its_place(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        @af.function
        def invert(x, y=1):
            return y / x

        assert list(invert.map([1, 2, 4])) == [1.0, 0.5, 0.25]
        assert sorted(invert.map([1, 2, 4], as_completed=True)) == [0.25, 0.5, 1.0]
        assert list(invert.starmap([(1, 2), (2, 2)])) == [2.0, 1.0]
        found = invert.map([1, 0, 2])
        assert next(found) == 1.0
        try:
            next(found)
        except ZeroDivisionError as error:
            assert isinstance(error.__cause__, af.RemoteError)
        else:
            raise AssertionError("no error")
        """,
    )


def test_the_executor_is_one_of_concurrent_futures(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        heard = []
        @af.function(name="own", grace="3s")
        def decorated():
            return "here"

        with af.Executor(name="all") as executor:
            named = executor.submit(decorated)
            assert (named.name, named.result(60)) == ("all", "here")
            assert isinstance(executor, concurrent.futures.Executor)
            calls = [executor.submit(pow, 2, n) for n in range(4)]
            calls[0].add_done_callback(lambda call: heard.append(call.result()))
            assert sorted(c.result() for c in concurrent.futures.as_completed(calls, timeout=60)) == [1, 2, 4, 8]
            assert list(executor.map(pow, [2, 3], [3, 2], timeout=60)) == [8, 9]
            last = executor.submit(sorted, [3, 1, 2], reverse=True)
        assert last.done() and last.result() == [3, 2, 1]
        assert heard == [1]
        try:
            executor.submit(pow, 1, 1)
        except RuntimeError as error:
            assert "after shutdown" in str(error)
        else:
            raise AssertionError("taken after shutdown")
        """,
    )


def test_cancelling_stops_what_waits_and_leaves_what_runs(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        import time

        cores = os.cpu_count()

        @af.function(request=f"[cpu={cores}]", grace="1s")
        def hold():
            while True:
                time.sleep(0.05)

        first = hold.submit()
        while first.phase != "running":  # the test's own limit ends it
            time.sleep(0.02)
        second = hold.submit()
        assert second.cancel() and second.cancelled() and second.done()
        assert second.wait(30).view["outcome"] == "stopped"
        assert not second.view["attempts"]
        assert not first.cancel() and not first.cancelled()
        done, waits = concurrent.futures.wait([first, second], timeout=0)
        assert (done, waits) == ({second}, {first})
        try:
            first.result(timeout=0.01)
        except TimeoutError:
            pass
        else:
            raise AssertionError("no timeout")
        first.stop()
        try:
            first.result(60)
        except af.JobFailed as error:
            assert "stopped" in error.what, error.what
        else:
            raise AssertionError("not stopped")
        """,
    )


WRONG = """\
import signal
import afield.sdk.pickling as pickling

def told(call):
    try:
        call.result(60)
    except af.AfieldError as error:
        print(type(error).__name__, error.code, getattr(error, "exit_status", None))

def die():
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def lock():
    return threading.Lock()

with af.Executor() as ex:
    try:
        ex.submit(print, threading.Lock())
    except af.Unpicklable as error:
        print(error.what)
    assert af.jobs(all=True) == []
    told(ex.submit(die))
    told(ex.submit(lock))
    told(ex.submit(sys.exit, 0))
    told(ex.submit(sys.exit, 3))
    pickling.LIMIT = 2000
    told(ex.submit(bytes, 3000))
    try:
        ex.submit(len, bytes(3000))
    except af.Unpicklable as error:
        print(error.what)
    program = af.run("true")
    try:
        program.result(60)
    except af.AfieldError as error:
        print(error.what)
"""


def test_every_wrong_use_is_said_in_words(sandbox: Sandbox) -> None:
    said = run(
        sandbox,
        WRONG,
    )
    assert said.splitlines() == [
        "argument number 1 cannot be sent to a job",
        "JobFailed job-failed 137",
        "AfieldError result-unpicklable None",
        "NotFound not-found None",
        "JobFailed job-failed 3",
        "AfieldError result-too-large None",
        "what the arguments hold is too large to be sent: 3,024 bytes",
        "job 6 is no function",
    ]


def test_another_python_on_the_node_is_said_before_the_function_is_loaded(sandbox: Sandbox) -> None:
    said = run(
        sandbox,
        """
        import types
        import afield.sdk.pickling as pickling

        # As if this program ran under a Python that this machine has not.
        pickling.sys = types.SimpleNamespace(version_info=(3, 99, 0), modules=sys.modules, path=sys.path)
        with af.Executor() as ex:
            try:
                ex.submit(len, "abc").result(60)
            except af.AfieldError as error:
                print(error.code, error.hints[0])
        """,
    )
    assert said == 'python-differs python="3.99" has that Python made ready for the job\n'


def test_a_result_outlives_the_caller_and_the_controller(sandbox: Sandbox) -> None:
    submits = """
        @af.function
        def answer(x):
            open(os.environ["USER_DIR"] + "/calls", "a").write("called\\n")
            return {"x": x}

        answer.submit(42)
        os.kill(os.getpid(), 9)
        """
    (sandbox.project / "afield.toml").touch()
    (sandbox.project / "first.py").write_text(HEAD + textwrap.dedent(submits))
    died = subprocess.run([sys.executable, "first.py"], cwd=sandbox.project, env=sandbox.env, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    for process in sandbox.processes():
        if "afield.server" in command_line(process):
            os.kill(process.pid, signal.SIGKILL)
    assert run(sandbox, "print(af.job(1).result(60), af.job(1).result(60))") == "{'x': 42} {'x': 42}\n"
    (calls,) = sandbox.home.glob(".afield/s/*/home/*/calls")
    assert calls.read_text() == "called\n"


def test_a_controller_that_is_killed_in_between_loses_no_result(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        import json, pathlib, time

        @af.function
        def slow(x):
            time.sleep(0.5)
            return x + 1

        calls = [slow.submit(n) for n in range(3)]
        lock = pathlib.Path(os.environ["AFIELD_STATE_DIR"], "server.lock")
        os.kill(json.loads(lock.read_text())["pid"], 9)
        assert [c.result(60) for c in calls] == [1, 2, 3]
        """,
    )


def test_a_job_says_how_far_it_is(sandbox: Sandbox) -> None:
    (sandbox.project / "train.py").write_text(
        "import afield as af\nnow = af.current()\n"
        "for step in range(3):\n    now.metric(step=step, loss=1 / (step + 1))\n    now.progress(step + 1, 3)\n"
        "print(now.job, now.node, now.resuming, now.output_dir.name)\n"
    )
    said = run(
        sandbox,
        """
        job = af.run("train.py").wait(60, check=True)
        assert [m["values"]["loss"] for m in job.metrics()] == [1.0, 0.5, 1 / 3]
        assert [m["step"] for m in job.metrics()] == [0, 1, 2]
        progress = job.progress()
        assert progress is not None and (progress["done"], progress["total"]) == (3.0, 3.0)
        assert af.run("true").wait(60).metrics() == []
        assert "<table>" in job._repr_html_()
        print(*job.logs())
        """,
    )
    assert said == "1 local False outputs\n"


def test_everything_can_be_awaited(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        import asyncio

        @af.function
        def double(x):
            return x * 2

        @af.function
        def slow():
            import time
            time.sleep(0.5)
            return "slow"

        async def main():
            call = slow.submit()
            try:
                await call.result_async(timeout=0.01)
            except TimeoutError:
                assert not call.cancelled()
            else:
                raise AssertionError("no timeout")
            assert await call == "slow" and await call == "slow"
            first, second = await asyncio.gather(double.submit_async(1), double.submit_async(2))
            assert (first, second) == (2, 4)
            call = double.submit(3)
            assert await call.result_async(timeout=60) == 6
            job = af.job(call.number)
            assert (await job.wait_async(60)).ended
            assert await job.result_async() == 6
            brought = await job.pull_async()
            assert (brought.folder / "result").exists()

        asyncio.run(main())
        """,
    )


def test_a_decorated_function_of_a_module_runs_where_no_afield_is_installed(sandbox: Sandbox) -> None:
    (sandbox.project / "lib").mkdir()
    (sandbox.project / "lib/model.py").write_text(
        "import afield as af\n\n@af.function\ndef inner(x):\n    return x + 1\n\n"
        "@af.function\ndef outer(x):\n    return inner(x) * 10, af.__file__\n"
    )
    said = run(
        sandbox,
        """
        sys.path.insert(0, "lib")
        import model

        value, file = model.outer.submit(1).result(60)
        print(value, file != af.__file__)
        """,
    )
    assert said == "20 True\n"
