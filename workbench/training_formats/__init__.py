"""What a row of a training set is: one file each, found by name."""

from __future__ import annotations

from workbench.training_formats._format import TARGETS as TARGETS
from workbench.training_formats._format import FormatCall as FormatCall
from workbench.training_formats._format import TrainingFormat as TrainingFormat
from workbench.training_formats._format import parse_training_format as parse_training_format
from workbench.training_formats._format import training_formats as training_formats
from workbench.training_formats._texts import MACROS as MACROS
