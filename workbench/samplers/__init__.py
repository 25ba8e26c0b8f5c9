"""Ways to choose rows: one file each, found by name, all drawn by one mechanism in the engine."""

from __future__ import annotations

from workbench.samplers._draw import SAMPLING_COLUMNS as SAMPLING_COLUMNS
from workbench.samplers._draw import draw as draw
from workbench.samplers._draw import random_number as random_number
from workbench.samplers._sampler import Plan as Plan
from workbench.samplers._sampler import Sampler as Sampler
from workbench.samplers._sampler import SamplerCall as SamplerCall
from workbench.samplers._sampler import parse_sampler as parse_sampler
from workbench.samplers._sampler import samplers as samplers
