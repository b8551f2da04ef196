"""Work on several items with threads: results, warnings and errors in the order of the items."""

import threading
import time
import warnings

import pytest

from chandra_bin.errors import ChandraBinWarning, InputError, deferred_warnings, warn
from chandra_bin.tasks._in_order import in_order


def read(item):
    warn(f"read {item}")
    return item


def compute(item):
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
        def of(item):
            made = function(item)
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
                  lambda _item: workers.add(threading.get_ident()), 3))
    assert readers == {threading.get_ident()}
    assert workers.isdisjoint(readers)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_items_than_threads_are_in_memory(threads):
    held, most = 0, 0

    def count(item):
        nonlocal held, most
        held += 1
        most = max(most, held)
        return item

    for _ in in_order(range(12), count, lambda item: item, threads):
        held -= 1
    assert most == threads


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
