"""Join equal warnings of several observations."""

from collections.abc import Iterable

# The fact of binning that counts bins with more background than signal.
MOSTLY_BACKGROUND = "bins of mostly background"


def join_warnings(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join warnings with the same text to one warning that lists the ObsIDs of their tasks.

    Parameters
    ----------
    texts : iterable of (str, str)
        The name of the task (``reprocess/90001``, or ``merge`` for all observations) and the text of each warning.

    Returns
    -------
    list of (str, str)
        Name of the task and text, which begins with the ObsIDs, in the order of first appearance. Several tasks of a
        kind have the name of the kind.
    """
    tasks: dict[str, list[str]] = {}
    for task, text in texts:
        tasks.setdefault(text, []).append(task)
    joined = []
    for text, names in tasks.items():
        kinds, _, obsids = zip(*(name.partition("/") for name in names), strict=True)
        name = kinds[0] if len(set(names)) > 1 and len(set(kinds)) == 1 else names[0]
        of = list(dict.fromkeys(filter(None, obsids)))
        prefix = f"ObsID{'s' * (len(of) > 1)} {', '.join(of)}: " if of else ""
        joined.append((name, prefix + text))
    return joined
