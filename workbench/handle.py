"""A project in Python: every command of the command line is one of these functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ConfigError

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from workbench.datasets import Slice
    from workbench.datasets.catalog import Datasets, Slices
    from workbench.guess import Guess
    from workbench.leaks import Audit
    from workbench.project import Project
    from workbench.query import Build, Result

Narrate = Callable[[str], None]


#: What is told of a build.
_BUILT = ("build", "ledger", "seconds", "stages", "notes", "fresh")


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass
class Workbench:
    """A project folder that is being worked with.

    Attributes
    ----------
    folder
        The project folder.
    """

    folder: Path

    @cached_property
    def project(self) -> Project:
        """What ``workbench.toml`` says."""
        from workbench.configuration import load

        return load(self.folder)

    @cached_property
    def current(self) -> Build:
        """The build in force when it was first asked for; `build` looks again."""
        from workbench.query import open_build

        return open_build(self.folder)

    def ingest(self, *, narrate: Narrate = _silent) -> dict[str, Any]:
        """Read what is new in the sources into the lake, without building.

        Returns
        -------
        dict
            ``files``, ``rows`` and ``refused`` by lake table, and ``notes``.
        """
        from dataclasses import asdict

        from workbench.build.lock import writing
        from workbench.ingest import ingest

        with writing(self.project):
            return asdict(ingest(self.project, narrate=narrate))

    def build(
        self, *, as_of: str | None = None, spark: str | None = None, narrate: Narrate = _silent
    ) -> dict[str, Any]:
        """Read what is new, build, publish; on the Spark Connect server `spark` if it is given.

        Returns
        -------
        dict
            ``build``, ``ledger``, ``seconds``, ``stages``, ``notes``, and if anything is ``fresh``.
        """
        from workbench.build import build

        done = build(self.project, as_of=as_of, spark=spark, narrate=narrate)
        self.__dict__.pop("current", None)
        return {key: done[key] for key in _BUILT}

    def watch(self, wait: Callable[[], bool], **calls: Any) -> Iterator[dict[str, Any]]:
        """Build whenever something new has landed; see `workbench.build.watch.watch`."""
        from workbench.build.watch import watch

        for done in watch(self.folder, wait, **calls):
            self.__dict__.pop("current", None)
            yield {key: done[key] for key in _BUILT}

    def status(self) -> dict[str, Any]:
        """The ledger of the build in force, and what became of the rest."""
        from workbench.published import current

        manifest = current(self.folder)
        status = dict(manifest["status"])
        ledger = status.pop("ledger")
        return {**ledger, **status, "build": manifest["build"], "as_of": manifest["as_of"]}

    def leaks(self) -> list[Audit]:
        """What the leak audit finds of each context; see `workbench.leaks.audit`."""
        from workbench.leaks import audit

        return audit(self.project)

    def metrics(
        self,
        only: Sequence[str] = (),
        *,
        by: Sequence[str] = (),
        where: str | None = None,
        least: int = 0,
    ) -> list[dict[str, Any]]:
        """Values of metrics; see `workbench.measure.measure`."""
        from workbench.state import measure_quick

        return measure_quick(self.current, only, by, where, least)

    def disparities(
        self,
        metrics: Sequence[str] = (),
        *,
        by: Sequence[str],
        where: str | None = None,
        least: int = 20,
    ) -> list[dict[str, Any]]:
        """How far groups are apart; see `workbench.disparities.disparities`."""
        from workbench.disparities import disparities

        return disparities(self.current, metrics, by, where, least)

    def calibrated(
        self, only: Sequence[str] = (), *, by: Sequence[str] = (), where: str | None = None
    ) -> list[dict[str, Any]]:
        """Metrics before and after recalibration; see `workbench.fitting.before_and_after`."""
        from workbench.fitting import before_and_after

        return before_and_after(self.current, only, by, where)

    def fit(
        self,
        kind: str,
        *,
        params: dict[str, Any] | None = None,
        where: str | None = None,
        since: str | None = None,
        until: str | None = None,
        pin: bool = True,
    ) -> dict[str, Any]:
        """Fit an artefact on the build in force; see `workbench.fitting.fit`.

        Returns
        -------
        dict
            The artefact as `artefacts` lists it. `build` applies it if it is pinned.
        """
        from workbench.fitting import described, fit

        made = fit(
            self.project,
            self.current,
            kind,
            params=params,
            where=where,
            since=since,
            until=until,
            pin=pin,
        )
        return described(self.project, made)

    def artefacts(self) -> list[dict[str, Any]]:
        """What was fitted: ``id``, ``kind``, ``pinned``, ``n``, ``state``, ``figures``, ..."""
        from workbench.fitting import described, kept

        return [described(self.project, made) for made in kept(self.project)]

    def use_artefact(self, kind: str, identity: str | None) -> None:
        """Let the next build apply an artefact that was fitted before, or none of its kind."""
        from workbench.fitting import use

        use(self.project, kind, identity)

    def drift(
        self,
        columns: Sequence[str] = (),
        *,
        every: str | int = "week",
        reference: str | None = None,
        methods: Sequence[str] = (),
        where: str | None = None,
    ) -> list[dict[str, Any]]:
        """What moved over chunks of time, against a reference; see `workbench.drift.drift`."""
        from workbench.drift import drift

        return drift(
            self.current, columns, every=every, reference=reference, methods=methods, where=where
        )

    def worst(
        self,
        metric: str = "accuracy",
        *,
        columns: Sequence[str] = (),
        where: str | None = None,
        reference: str | None = None,
        limit: int = 10,
    ) -> list[dict[str, Any]]:
        """Find where a metric is worst, or moved most; see `workbench.worst.find_worst`."""
        from workbench.worst import worst_slices

        return worst_slices(
            self.current, metric, columns=columns, where=where, reference=reference, limit=limit
        )

    def response(
        self, columns: Sequence[str] = (), *, where: str | None = None
    ) -> list[dict[str, Any]]:
        """Who gives feedback: response rates by column; see `workbench.skew.rates`."""
        from workbench.skew import rates

        return rates(self.current, columns, where)

    def skew(
        self, only: Sequence[str] = (), *, by: Sequence[str] = (), where: str | None = None
    ) -> list[dict[str, Any]]:
        """Metrics as observed and reweighted; see `workbench.skew.weighted`."""
        from workbench.skew import weighted

        return weighted(self.current, only, by, where)

    def raters(self, *, where: str | None = None, least: int = 20) -> list[dict[str, Any]]:
        """What is known of each rater, and who looks like a bot; see `workbench.raters.raters`."""
        from workbench.raters import raters

        return raters(self.current, where, least)

    def agreement(
        self, only: Sequence[str] = (), *, where: str | None = None, least: int = 10
    ) -> list[dict[str, Any]]:
        """How far raters agree beyond chance; see `workbench.raters.agreement`."""
        from workbench.raters import agreement

        return agreement(self.current, only, where, least)

    def policies(self) -> list[dict[str, Any]]:
        """How labels would change under each policy; see `workbench.raters.policies`."""
        from workbench.raters import policies

        return policies(self.current, self.project)

    def sql(
        self,
        query: str,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        params: Sequence[Any] | dict[str, Any] | None = None,
    ) -> Result:
        """Run one SELECT over the build; see `workbench.query.Build.run`."""
        return self.current.run(query, limit=limit, timeout=timeout, params=params)

    @property
    def slices(self) -> Slices:
        """The saved slices: made, read, previewed."""
        from workbench.datasets.catalog import Slices

        return Slices(self.folder)

    @property
    def datasets(self) -> Datasets:
        """The training sets: compiled, listed, compared, exported."""
        from workbench.datasets.catalog import Datasets

        return Datasets(self.folder)

    def export(
        self,
        what: str | Slice,
        path: str | Path,
        *,
        format: str | None = None,
        where: str | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Write a relation, a slice, or a version of a dataset; `path` says in which format.

        Returns
        -------
        dict
            ``path``, ``rows``, ``bytes``, ``sha256``, and of a dataset ``version``.
        """
        from workbench.datasets import export
        from workbench.datasets.catalog import file_format

        if isinstance(what, str) and self.datasets.holds(what):
            return self.datasets.export(what, path, format=format, where=where, force=force)
        chosen = file_format(format, path)
        return export(self.current, what, chosen, path, where=where, force=force)

    def prune(self, keep: int) -> dict[str, Any]:
        """Remove all but the `keep` newest builds; see `workbench.prune.prune`."""
        from workbench.prune import prune

        return prune(self.project, keep)

    def forget(self, user: str, *, narrate: Narrate = _silent) -> dict[str, Any]:
        """Erase a user and build anew; see `workbench.forget.forget`."""
        from workbench.forget import forget

        done = forget(self.project, user, narrate=narrate)
        self.build(narrate=narrate)
        return done

    def table(self, relation: str) -> ir.Table:
        """A relation of the build as an Ibis table."""
        return self.current.table(relation)

    @property
    def enriched_feedback(self) -> ir.Table:
        """Attributed events with all that is known of their inferences."""
        return self.table("enriched_feedback")

    @property
    def enriched_inferences(self) -> ir.Table:
        """Inferences, labelled or not, with their labels, uncertainty and contexts."""
        return self.table("enriched_inferences")

    def serve(self, *, port: int | None = None, open_browser: bool = False) -> None:
        """Serve the dashboard on this machine until it is stopped."""
        from workbench.ui.launch import serve

        serve(self.folder, port=port, open_browser=open_browser)


def open(folder: str | Path = ".") -> Workbench:
    """Open the project in `folder`.

    Raises
    ------
    NotFoundError
        If there is no ``workbench.toml``.
    ConfigError
        If it is wrong.
    """
    workbench = Workbench(Path(folder).expanduser().absolute())
    _ = workbench.project
    return workbench


def init(
    folder: str | Path,
    inferences: Sequence[str | Path],
    feedback: Sequence[str | Path],
    *,
    name: str | None = None,
    force: bool = False,
) -> Guess:
    """Look at log files, propose a mapping, and write ``workbench.toml``.

    Parameters
    ----------
    folder
        The project folder; it is made if need be.
    inferences, feedback
        Files, globs or folders.
    name
        Name of the project; the folder's name when None.
    force
        Replace a configuration that exists.

    Returns
    -------
    Guess
        What was written, what a person must decide, and what deserves a glance.

    Raises
    ------
    ConfigError
        If there is a configuration already.
    """
    from workbench.guess import guess_project
    from workbench.project import CONFIG_NAME

    root = Path(folder).expanduser().absolute()
    path = root / CONFIG_NAME
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already.", "Edit it, or write it anew with --force.")
    guess = guess_project(inferences, feedback, project_dir=root, name=name)
    root.mkdir(parents=True, exist_ok=True)
    path.write_text(guess.toml, encoding="utf-8")
    return guess
