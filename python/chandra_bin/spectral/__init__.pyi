from .absorption import transmission as transmission
from .abundances import abundances as abundances
from .templates import Templates as Templates
