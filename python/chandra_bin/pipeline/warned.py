"""Warnings of several observations as one."""

from collections.abc import Iterable


def join_warnings(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join warnings of one text to one line that lists the ObsIDs of their tasks.

    Parameters
    ----------
    texts : of each warning the name of its task (``reprocess/90001``, or ``merge`` for all observations) and its text.

    Returns
    -------
    Name and text, which begins with the ObsIDs, in the order of the first of each. The name of several tasks of a kind
    is that of the kind.
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
