"""What pages are made of: cards, tables, links, and the states without anything to show."""

from __future__ import annotations

from workbench.ui.parts.cards import chart_card as chart_card
from workbench.ui.parts.cards import metric_card as metric_card
from workbench.ui.parts.cards import metric_row as metric_row
from workbench.ui.parts.cards import rows_table as rows_table
from workbench.ui.parts.cards import view_sql as view_sql
from workbench.ui.parts.controls import download_rows as download_rows
from workbench.ui.parts.controls import filters as filters
from workbench.ui.parts.controls import group_choice as group_choice
from workbench.ui.parts.controls import grouping as grouping
from workbench.ui.parts.controls import open_record as open_record
from workbench.ui.parts.empty import few_labels as few_labels
from workbench.ui.parts.empty import no_build as no_build
from workbench.ui.parts.empty import no_clock as no_clock
from workbench.ui.parts.empty import no_labels as no_labels
from workbench.ui.parts.empty import no_raters as no_raters
from workbench.ui.parts.empty import no_rows as no_rows
from workbench.ui.parts.empty import no_scores as no_scores
from workbench.ui.parts.empty import problem as problem
from workbench.ui.parts.guides import how_to_read as how_to_read
from workbench.ui.parts.links import link as link
from workbench.ui.parts.links import pages as pages
from workbench.ui.parts.overview import sentences as sentences
from workbench.ui.parts.rows import mark_choice as mark_choice
from workbench.ui.parts.rows import rows_behind as rows_behind
from workbench.ui.parts.sql import query_form as query_form
from workbench.ui.parts.sql import query_result as query_result
from workbench.ui.parts.sql import schema_browser as schema_browser
