"""Write policies for Rolewright in Python: a class with a method for each stage.

The types of the contract are dataclasses, enums and flags; what the compiled component makes of them is hidden in
`component.py`. Import what you need at the top of your module: a component has no files to import from later.
"""

from . import contract as contract
from .contract import *  # noqa: F403  # The contract's names are this package's.
from .policy import Policy as Policy
from .words import allow as allow
from .words import deny as deny
from .words import error as error
from .words import hold as hold
from .words import info as info
from .words import is_user as is_user
from .words import label as label
from .words import step as step
from .words import users as users
from .words import warning as warning
