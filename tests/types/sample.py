"""A user's program as `mypy --strict` must see it: right uses have their types, wrong ones are found.

Each ignored error is one that must be reported: `warn_unused_ignores` fails where it is not.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from typing import assert_type

import afield as af


@af.function(gpus=1, time="2h", env={"A": "1"})
def train(rate: float, steps: int = 1000) -> float:
    now = af.current()
    assert_type(now.resuming, bool)
    for step in range(steps):
        now.progress(step, steps)
        now.metric(step=step, loss=rate)
    return rate


@af.function
def count(words: list[str]) -> dict[str, int]:
    return {word: len(word) for word in words}


def use() -> None:
    assert_type(train(3e-4), float)
    call = train.submit(3e-4, steps=10)
    assert_type(call, af.Call[float])
    assert_type(call.result(timeout=60), float)
    assert_type(call.cancel(), bool)
    assert_type(count.submit(["a"]).result(), dict[str, int])
    assert_type(train.map([1e-4, 3e-4]), Iterator[float])
    assert_type(train.options(node="box1").submit(1.0), af.Call[float])
    with af.Executor(gpus=1, node="box1") as executor:
        calls = [executor.submit(train, 0.1), executor.submit(train, 0.2)]
        for done in concurrent.futures.as_completed(calls):
            assert_type(done.result(), float)
    job = af.run("train.py", "--lr", "3e-4", gpus=1, name="sweep")
    assert_type(job, af.Job)
    assert_type(af.job(12).wait().exit_status, int | None)
    assert_type(list(job.logs(follow=True)), list[str])


async def use_async() -> None:
    assert_type(await train.submit(3e-4), float)
    assert_type(await train.submit_async(3e-4), float)
    assert_type(await af.run("train.py").wait_async(), af.Job)


def misuse() -> None:
    train.submit("fast")  # type: ignore[arg-type]
    train.submit(1.0, stepz=1)  # type: ignore[call-arg]
    text: str = train.submit(1.0).result()  # type: ignore[assignment]
    af.function(gpuz=1)(len)  # type: ignore[call-overload]
    af.Executor(gpus="two")  # type: ignore[arg-type]
    af.run("train.py", gpus=text)  # type: ignore[arg-type]
    af.nothing()  # type: ignore[attr-defined]
