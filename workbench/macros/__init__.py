"""Views with parameters: one file each, an Ibis expression that every build compiles to a macro.

A file that declares ``macro`` is all that a new one needs, beside its columns in
``sql/schema.sql``; its name is the file's, and what it says about itself is the file's docstring.
"""

from __future__ import annotations

from workbench.macros._compile import definitions
from workbench.macros._macro import Argument, Given, Macro, macros

__all__ = ["Argument", "Given", "Macro", "definitions", "macros"]
