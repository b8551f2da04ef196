from .abundances import abundances as abundances
from .templates import Templates as Templates
