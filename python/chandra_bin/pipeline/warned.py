"""Warnings of several observations as one."""

import re
from collections.abc import Iterable

_OF_OBSID = re.compile(r"ObsID (\d+): (.*)", re.DOTALL)


def join_warnings(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join warnings that differ in the ObsID alone to one line that lists the ObsIDs.

    Parameters
    ----------
    texts : of each warning the name of its task (``reprocess/90001``) and its text, which begins with ``ObsID 90001: ``
        where it is about one observation.

    Returns
    -------
    Name and text, in the order of the first of each. The name of several tasks of a kind is that of the kind.
    """
    found: dict[str, list[tuple[str, str | None]]] = {}
    for task, text in texts:
        match = _OF_OBSID.fullmatch(text)
        obsid, rest = (match[1], match[2]) if match else (None, text)
        found.setdefault(rest, []).append((task, obsid))
    joined = []
    for rest, sources in found.items():
        obsids = list(dict.fromkeys(obsid for _, obsid in sources if obsid is not None))
        names = list(dict.fromkeys(task for task, _ in sources))
        kinds = {name.partition("/")[0] for name in names}
        name = next(iter(kinds)) if len(names) > 1 and len(kinds) == 1 else names[0]
        prefix = f"ObsID{'s' * (len(obsids) > 1)} {', '.join(obsids)}: " if obsids else ""
        joined.append((name, prefix + rest))
    return joined
