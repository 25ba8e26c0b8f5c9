"""The feedback validation service: events over HTTP, acknowledged once they are on the disk.

Modules, from the disk upwards: `landing` (files), `seen` (what was received before), `journal`
(one fsync for all who wait), `schemas` and `check` (what an event must be), `otlp` (traces),
`keys`, `limits`, `counters`, `problems`, `receiving` (what happens to a request), `app` (routes),
`openapi`, `server`.
"""

from __future__ import annotations
