from opensphere.error import UserError

__all__ = ["UserError"]
__version__ = "0.1.0"
