"""Work on several items with threads: results, warnings and errors in the order of the items."""

import os
import signal
import threading
import time
import warnings
import weakref

import pytest

from chandra_bin.errors import ChandraBinWarning, InputError, collect_warnings, deferred_warnings, warn
from chandra_bin.tasks._in_order import in_order


def read(item):
    warn(f"read {item}")
    return item


def compute(item, _poll):
    time.sleep(0.02 * (item == 0))  # later items are done before the first
    warn(f"computed {item}")
    return item**2


def collected(*arguments):
    """Results and the texts of warnings, and the error that ends them."""
    results, error = [], None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results.extend(in_order(*arguments))
        except InputError as raised:
            error = str(raised)
    return results, [str(each.message) for each in caught if each.category is ChandraBinWarning], error


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_results_and_warnings_have_the_order_of_the_items(threads):
    results, texts, _ = collected(range(5), read, compute, threads)
    assert results == [0, 1, 4, 9, 16]
    assert texts == [f"{word} {item}" for item in range(5) for word in ("read", "computed")]


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
@pytest.mark.parametrize("stage", ["read", "computed"])
def test_the_first_item_that_fails_is_reported_after_those_before_it(threads, stage):
    def failing(function):
        def of(item, *poll):
            made = function(item, *poll)
            if item >= 2:
                raise InputError(f"{stage} {item} fails")
            return made

        return of

    stages = [failing(read), compute] if stage == "read" else [read, failing(compute)]
    results, texts, error = collected(range(5), *stages, threads)
    assert results == [0, 1]
    assert error == f"{stage} 2 fails"
    of_two = ["read 2"] if stage == "read" else ["read 2", "computed 2"]
    assert texts == ["read 0", "computed 0", "read 1", "computed 1", *of_two]


def test_files_are_read_by_the_calling_thread_and_others_compute():
    readers, workers = set(), set()
    list(in_order(range(4), lambda item: readers.add(threading.get_ident()) or item,
                  lambda _item, _poll: workers.add(threading.get_ident()), 3))
    assert readers == {threading.get_ident()}
    assert workers.isdisjoint(readers)


class Item:
    """An item in memory."""


@pytest.mark.parametrize(("threads", "most", "expected"), [(1, 2, 1), (2, 4, 2), (4, 4, 4), (9, 2, 2), (64, None, 4)])
def test_a_few_items_are_in_memory_however_many_threads_there_are(threads, most, expected):
    there, counts = weakref.WeakSet(), []

    def read_one(_number):
        item = Item()
        there.add(item)
        counts.append(len(there))
        return item

    limit = () if most is None else (most,)
    assert [1 for _ in map(id, in_order(range(12), read_one, lambda item, _poll: item, threads, *limit))] == [1] * 12
    assert max(counts) == expected


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_work_of_threads_at_its_next_poll():
    ended = []

    def work(item, poll):
        try:
            for _ in range(400):
                poll()
                time.sleep(0.01)
        finally:
            ended.append(item)

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(in_order(range(5), lambda item: item, work, 2))
    assert time.monotonic() - begin < 2
    assert sorted(ended) == [0, 1]


def test_work_of_a_caller_that_leaves_ends():
    polls = []

    def work(item, poll):
        while item:
            poll()
            polls.append(item)
            time.sleep(0.01)
        return item

    found = in_order(range(5), lambda item: item, work, 3)
    assert next(found) == 0
    found.close()
    made = len(polls)
    time.sleep(0.1)
    assert len(polls) == made


def test_deferred_warnings_are_those_of_their_thread():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with deferred_warnings() as texts:
            warn("here")
            other = threading.Thread(target=warn, args=("there",))
            other.start()
            other.join()
        warn("afterwards")
    assert texts == ["here"]
    assert [str(each.message) for each in caught] == ["there", "afterwards"]


def test_warnings_that_are_collected_are_not_deferred():
    with deferred_warnings() as texts:
        with collect_warnings(str.upper) as collected:
            warn("within")
        warn("after")
    assert collected == ["WITHIN"]
    assert texts == ["after"]


@pytest.mark.parametrize("threads", [1, 2])
def test_reading_collects_the_same_warnings_with_threads(threads):
    def collecting(item):
        with collect_warnings(str) as found:
            warn(f"collected {item}")
        return found

    results, texts, _ = collected(range(3), collecting, lambda found, _poll: found, threads)
    assert results == [["collected 0"], ["collected 1"], ["collected 2"]]
    assert texts == []
