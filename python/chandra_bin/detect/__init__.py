"""Sources in images of counts, by wavelets.

The method is that of P. E. Freeman, V. Kashyap, R. Rosner and D. Q. Lamb (2002, ApJS 138, 185), from the paper: the
image is correlated with Mexican hats, the background comes from their negative annuli, and a pixel belongs to a source
where Poisson noise on that background exceeds the correlation with a small probability. docs/detect.md has the
equations, what is done differently, and what was measured.
"""

from ._search import DEFAULT_SCALES, Detection, bytes_needed, detect_sources
from ._sources import Source

__all__ = ["DEFAULT_SCALES", "Detection", "Source", "bytes_needed", "detect_sources"]
