"""Searching a collection: identify at a threshold, investigate without one, verify one claim.

`identify` decides: candidates reach a threshold whose false positive rate was measured. `investigate`
decides nothing: it lists who looks most alike. They are two calls because they are two answers (NIST FRTE
    1:N has both modes).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lineament.core.candidate import Candidate
from lineament.core.errors import InvalidArgument
from lineament.core.template import Template, Templates
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason
from lineament.gallery import subjects
from lineament.gallery.assign import assigned
from lineament.gallery.desk import Desk
from lineament.gallery.find import Query, Ranked, exact, references_where, search, unit_rows
from lineament.gallery.operating import search_threshold
from lineament.gallery.values import Found

LEADS = 50
"""Candidates of `investigate`, as NIST FRTE 1:N counts them."""

CANDIDATES = 5
"""Candidates of `identify` unless more are asked for."""

LONGEST = 200
"""Characters of a value that was filtered by, in an audit record."""

SHOWN = 64
"""Outcomes in one audit record; a larger request leaves several."""


class Searching(Desk):
    """What can be asked of a collection."""

    def identify(
        self,
        probe: Any,
        *,
        fpir: float = 1e-3,
        threshold: float | Threshold | None = None,
        k: int = CANDIDATES,
        where: Mapping[str, Any] | None = None,
        policy: str = "exactly_one",
    ) -> list[Candidate]:
        """Who is this? Subjects at or over the threshold, best first; an empty list means unknown.

        Args:
            probe: a picture, or a `Template`.
            fpir: false positive identification rate: of people who are not enrolled, this share may get a
                candidate. A threshold must have been measured for it, or follow from one-to-one evidence.
            threshold: overrides: a measured search `Threshold`, or a bare cosine.
            k: at most so many.
            where: only subjects whose metadata have these values.
            policy: which face of the picture is meant.

        Raises:
            ThresholdMissing: no evidence for this rate at this gallery's size.
            InvalidArgument: the picture shows no usable face; `identify_faces` reports that as a value.
        """
        found = self.identify_faces([probe], fpir=fpir, threshold=threshold, k=k, where=where, policy=policy)[
            0
        ]
        if found.face is None and not isinstance(probe, Template):
            why = next((r.message for r in found.reasons if r.blocking), "it shows no usable face")
            raise InvalidArgument(f"the probe cannot be searched for: {why}")
        return list(found.candidates)

    def identify_faces(
        self,
        probes: Sequence[Any] | Templates,
        *,
        fpir: float = 1e-3,
        threshold: float | Threshold | None = None,
        k: int = CANDIDATES,
        where: Mapping[str, Any] | None = None,
        policy: str = "exactly_one",
    ) -> list[Found]:
        """As `identify`, for several pictures or templates at once, each with its own outcome, in order."""
        vectors, found = self._probes(probes, policy)
        boundary = self.threshold(fpir, threshold)
        return self._answer(vectors, found, boundary, k, where, "identify")

    def identify_group(
        self,
        picture: Any,
        *,
        fpir: float = 1e-3,
        threshold: float | Threshold | None = None,
        k: int = CANDIDATES,
        where: Mapping[str, Any] | None = None,
        one_to_one: bool = True,
    ) -> list[Found]:
        """Each face of one picture, best detection first.

        Args:
            picture, fpir, threshold, k, where: as for `identify`. Each face is a search of its own.
            one_to_one: nobody stands in a picture twice: each subject is the first candidate of one face at
                most, chosen so that the sum of similarities is largest (Kuhn 1955).
        """
        captured = next(iter(self._recognizer().capture_many([picture], policy="largest", gate=False)))
        if captured.error is not None:
            raise captured.error
        faces = [f for f in captured.faces if f.template is not None]
        if not faces:
            return []
        vectors = np.stack([f.template.vector for f in faces if f.template is not None])
        found = [Found((), None, face=face) for face in faces]
        boundary = self.threshold(fpir, threshold)
        answers = self._answer(self.vault.turn(vectors), found, boundary, k, where, "identify_group")
        return assigned(answers) if one_to_one else answers

    def investigate(
        self,
        probe: Any,
        *,
        k: int = LEADS,
        where: Mapping[str, Any] | None = None,
        policy: str = "exactly_one",
    ) -> Found:
        """The most similar subjects, without a threshold: leads for a person to look at, and no decision.

        With enough people enrolled somebody always looks alike. The candidates are marked as leads.
        """
        vectors, found = self._probes([probe], policy)
        return self._answer(vectors, found, None, k, where, "investigate")[0]

    def search_subject(
        self,
        subject: str,
        *,
        fpir: float = 1e-3,
        threshold: float | Threshold | None = None,
        k: int = CANDIDATES,
    ) -> Found:
        """Who else looks like an enrolled subject? By the subject's own template; the subject is left out."""
        with self.truth.read() as connection:
            row = subjects.row(connection, self.collection, subject)
        if row.template is None:
            return Found((), None, (Reason("no_reference", f"{subject!r} has no reference", blocking=True),))
        plain = self.vault.of(row.id, row.data_key).open(row.template, self.vault.place("template", row.id))
        vectors = np.frombuffer(plain, "<f4")[None].copy()
        boundary = self.threshold(fpir, threshold)
        without = frozenset({int(row.id)})
        return self._answer(vectors, [Found((), None)], boundary, k, None, "search_subject", without)[0]

    def verify(self, probe: Any, subject: str, *, fmr: float = 1e-4, policy: str = "exactly_one") -> Found:
        """Is this the enrolled subject? One comparison per reference; the best decides.

        Args:
            probe, policy: as for `identify`.
            subject: who it is claimed to be.
            fmr: false match rate for the whole claim: the threshold is that of `fmr` divided by the number of
                references.

        Raises:
            SubjectNotFound: no such subject.
        """
        vectors, found = self._probes([probe], policy)
        with self.truth.read() as connection:
            row = subjects.row(connection, self.collection, subject)
            ids, stored = subjects.vectors_of(connection, self.vault, row)
        boundary = search_threshold(self.thresholds, self.collection.model, fmr, max(1, len(ids)), None)
        candidates: tuple[Candidate, ...] = ()
        if len(vectors) and len(ids):
            scores = exact(vectors[0], stored)
            best = int(np.argmax(scores))
            if scores[best] >= boundary.value:
                name = self.collection.name
                candidates = (Candidate(subject, float(scores[best]), 1, ids[best], name),)
        self._record_search("verify", boundary, len(ids), [_rows([row.id], candidates)], None)
        base = found[0]
        return Found(candidates, boundary, base.reasons, base.face, len(ids))

    def look(self, templates: Templates, k: int = 2) -> list[tuple[Candidate, ...]]:
        """The best subjects for each face of a frame, whatever their likeness; it leaves no audit record.

        For a watch over frames, which looks many times a second and applies the threshold to votes: what it
        leaves in the log is that it began and ended, and every alert.

        Args:
            templates: of the faces.
            k: subjects for each; votes ask for the margin between the best two.

        Raises:
            TemplateMismatch: of another model than the collection's.
        """
        rows = unit_rows(list(templates), self.collection)
        found = self._search(self.vault.turn(rows), -1.0, k) if len(rows) else []
        return [ranked.candidates for ranked in found]

    def _answer(
        self,
        vectors: np.ndarray,
        found: list[Found],
        boundary: Threshold | None,
        k: int,
        where: Mapping[str, Any] | None,
        action: str,
        without: frozenset[int] = frozenset(),
    ) -> list[Found]:
        """Search with the rows of `vectors`; `found` has one entry per probe, those without reasons are
        searched."""
        if k < 1:
            raise InvalidArgument(f"k is 1 or more, not {k}")
        floor = -1.0 if boundary is None else boundary.value
        lead = boundary is None
        ranked = self._search(vectors, floor, k, where=where, without=without, lead=lead)
        count = self.follower.index.count()
        results = iter(ranked)
        answers: list[Found] = []
        for one in found:
            if any(r.blocking for r in one.reasons):
                answers.append(Found((), boundary, one.reasons, one.face, 0))
                continue
            result = next(results)
            answers.append(Found(result.candidates, boundary, one.reasons, one.face, count, result.complete))
        self._record_search(action, boundary, count, [_rows(r.rows, r.candidates) for r in ranked], where)
        return answers

    def _search(
        self,
        vectors: np.ndarray,
        floor: float,
        k: int,
        *,
        where: Mapping[str, Any] | None = None,
        without: frozenset[int] = frozenset(),
        lead: bool = False,
    ) -> list[Ranked]:
        if not len(vectors):
            return []
        wanted = subjects.check_metadata(where or {})
        while True:
            rebuilds = self.follower.rebuilds()
            self.follower.catch_up()
            among = None
            if wanted:
                with self.truth.read() as connection:
                    among = references_where(connection, self.collection, wanted)
            query = Query(vectors, floor, k, wanted, among, without, self._valid_now())
            index = self.follower.index
            ranked = search(self.truth, self.collection, self.vault, index, query, lead=lead)
            # An index that was being made anew was not whole.
            if self.follower.rebuilds() == rebuilds:
                return ranked

    def _valid_now(self) -> Any:
        return None

    def _probes(self, probes: Sequence[Any] | Templates, policy: str) -> tuple[np.ndarray, list[Found]]:
        """Vectors of those probes that can be searched for, and an entry per probe."""
        given = [probes[i] for i in range(len(probes))]
        pictures = [p for p in given if not isinstance(p, Template)]
        # A poor probe costs a miss, not a false candidate: it is searched for, and the answer says what is
        # poor.
        shots = self._recognizer().capture_many(pictures, policy=policy, gate=False) if pictures else ()
        captured = iter(shots)
        usable: list[Template] = []
        found: list[Found] = []
        for probe in given:
            template, reasons, face = probe, (), None
            if not isinstance(probe, Template):
                shot = next(captured)
                face, reasons = shot.face, shot.reasons
                if shot.error is not None:
                    reasons = (Reason(shot.error.reason, shot.error.message, blocking=True),)
                template = None if face is None else face.template
            if isinstance(template, Template):
                usable.append(template)
            elif not any(r.blocking for r in reasons):
                reasons = (Reason("no_face", "no usable face was found", blocking=True), *reasons)
            found.append(Found((), None, tuple(reasons), face))
        raw = unit_rows(usable, self.collection)
        return (self.vault.turn(raw) if len(raw) else raw), found

    def _record_search(
        self,
        action: str,
        boundary: Threshold | None,
        searched: int,
        outcomes: Sequence[Mapping[str, Any]],
        where: Mapping[str, Any] | None,
    ) -> None:
        body = {
            "threshold": None if boundary is None else round(boundary.value, 6),
            "fpir": None if boundary is None else boundary.fpir,
            "measured": boundary is not None and boundary.measured,
            "searched": searched,
            "where": {k: v[:LONGEST] if isinstance(v, str) else v for k, v in (where or {}).items()},
        }
        with self.truth.write() as connection:
            for start in range(0, max(1, len(outcomes)), SHOWN):
                part = [dict(o) for o in outcomes[start : start + SHOWN]]
                self.audit.append(
                    connection, self.actor, action, self.collection.name,
                    body={**body, "probes": len(part), "outcomes": part},
                )  # fmt: skip


def _rows(rows: Sequence[int], candidates: Sequence[Candidate]) -> dict[str, Any]:
    """An outcome for the audit log: row numbers and similarities."""
    found = [
        {"subject": str(n), "similarity": f"{c.similarity:.4f}"}
        for n, c in zip(rows, candidates, strict=False)
    ]
    return {"found": found}
