"""The HAMR portal: the truth about every organization's connection, from both sides."""

__version__ = "1.0.0"
