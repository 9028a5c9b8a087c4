"""What xtuner wrote down, as the events that Temper's own trainer would have told."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.importing.found import FileKind, FoundCheckpoint, Start
from app.domain.importing.stitching import line_of
from app.domain.recipes import Method, Recipe
from app.domain.taught import folded
from app.domain.texts import words
from app.domain.trainer_events import (
    AnswerGiven,
    AnswersGiven,
    AnyTrainerEvent,
    CheckpointSaved,
    MetricMeasured,
    PlanMade,
    TrainingResumed,
)

WORDS_PER_TOKEN = 0.75  # about; how many tokens an answer had nobody wrote down

ProbePositions = Mapping[tuple[str, ...], int]
"""By the words of a question, whatever its case and marks: the place of its probe in the run."""


@dataclass(frozen=True)
class Teller:
    """Tells of the starts of one run."""

    recipe: Recipe
    iterations: int
    """Planned."""
    probes: ProbePositions
    asked: Mapping[int, Mapping[int, AnswerGiven]] = field(default_factory=dict)
    """By iteration and probe position: answers that somebody asked for here, and that still hold."""

    @property
    def _accumulation(self) -> int:
        return self.recipe.training.accumulation

    def events_of(
        self, start: Start, checkpoints: Sequence[FoundCheckpoint], *, is_first: bool
    ) -> Iterator[AnyTrainerEvent]:
        """Yield the events of one start, in the order of its iterations."""
        at = _seconds(start.began_at)
        if is_first:
            yield self._plan(at)
        elif start.resumed_from:
            yield TrainingResumed(time=at, iteration=start.resumed_from)
        waiting = list(checkpoints)
        for one in line_of([start]).values():
            while waiting and waiting[0].iteration < one.iteration:
                yield from self._checkpoint(waiting.pop(0), at)
            at = _seconds(one.at) or at
            yield MetricMeasured(
                time=at,
                iteration=one.iteration,
                loss=one.loss,
                learning_rate=one.learning_rate,
                grad_norm=one.grad_norm,
                seconds=one.seconds,
                memory_bytes=one.memory_bytes,
            )
        for each in waiting:
            yield from self._checkpoint(each, at)

    def _plan(self, at: float) -> PlanMade:
        return PlanMade(
            time=at,
            iterations=self.iterations,
            updates=-(-self.iterations // self._accumulation),
            samples=0,
            trainable_parameters=0,
            parameters=0,
        )

    def _checkpoint(self, found: FoundCheckpoint, at: float) -> Iterator[AnyTrainerEvent]:
        if found.iteration and found.kind is not FileKind.NONE:
            yield CheckpointSaved(
                time=at,
                iteration=found.iteration,
                updates=-(-found.iteration // self._accumulation)
                if found.iteration == self.iterations
                else found.iteration // self._accumulation,
                file="",  # it lies where it is: nothing here reads, counts or deletes it
                adapter=None,
                size_bytes=0,
            )
        answers = dict(self._answers(found))
        if answers:
            answers = {**self.asked.get(found.iteration, {}), **answers}
            yield AnswersGiven(
                time=at,
                iteration=found.iteration,
                answers=tuple(answers[position] for position in sorted(answers)),
                seconds=found.answer_seconds,
                dtype=self.recipe.training.precision,
                quantised=self.recipe.method is Method.QLORA,
            )

    def _answers(self, found: FoundCheckpoint) -> Iterator[tuple[int, AnswerGiven]]:
        for said in found.said:
            position = self.probes.get(folded(said.question).text)
            if position is not None:
                tokens = round(words(said.text).weight() / WORDS_PER_TOKEN)
                yield position, AnswerGiven(probe=position, text=said.text, tokens=tokens, ended=said.ended)


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
