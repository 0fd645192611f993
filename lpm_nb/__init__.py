__version__ = "0.1.0"

from lpm_nb.names import FRONT  # noqa: E402

__getattr__, __dir__, __all__ = FRONT
