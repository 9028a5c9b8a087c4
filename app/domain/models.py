"""Every table and every state, on one page."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, UniqueConstraint
from sqlmodel import Field, Relationship, SQLModel

from app.domain.columns import CONSTRAINT_NAMES, UtcDateTime, utc_now, words_of
from app.domain.datasets.kinds import Container, RowForm

SQLModel.metadata.naming_convention = CONSTRAINT_NAMES


class RunState(StrEnum):
    """Where a run is in its life; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended; a person may still resume one that failed or was stopped."""
        return self in {RunState.FINISHED, RunState.FAILED, RunState.CANCELLED}


class ReasonKind(StrEnum):
    """Why a run or an artifact failed; each has its sentence in `domain/reasons.py`."""

    OUT_OF_MEMORY = "out-of-memory"
    OUT_OF_GPU_MEMORY = "out-of-gpu-memory"
    DISK_FULL = "disk-full"
    BAD_MODEL = "bad-model"
    REFUSED_MODEL = "refused-model"
    UNSAFE_CHECKPOINT = "unsafe-checkpoint"
    BAD_DATA = "bad-data"
    LOSS_NOT_FINITE = "loss-not-finite"
    MISSING_PACKAGE = "missing-package"
    KILLED = "killed"
    NO_OUTPUT = "no-output"
    STALLED = "stalled"
    WORKER_LOST = "worker-lost"
    CRASHED = "crashed"


class StopCause(StrEnum):
    """Who or what stopped a run before its end."""

    PERSON = "person"
    SWEET_SPOT = "sweet-spot"
    """Its recipe's rule: the identity is learnt and nothing leaks, at enough checkpoints running."""
    PARROT = "parrot"
    """Its sweep's rule: a checkpoint had become a parrot."""


class ModelState(StrEnum):
    """Whether runs can start from a registered model."""

    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


class ArtifactKind(StrEnum):
    """What an artifact is."""

    ADAPTER = "adapter"
    MERGED = "merged"


class ArtifactState(StrEnum):
    """Where the making of an artifact, or an asking, is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class Role(StrEnum):
    """What a user may do; each includes those before it."""

    VIEWER = "viewer"
    RUNNER = "runner"
    ADMIN = "admin"


class Model(SQLModel, table=True):
    """A base model that runs may start from."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    source: str
    """What the admin gave: a folder, or a hub id."""
    path: str = ""
    """What the trainer loads: a link or folder under `TEMPER_HOME/models`, or the hub id."""
    template: str
    """xtuner's name of the prompt template."""
    architecture: str = ""
    parameters: int = Field(default=0, sa_type=BigInteger)
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    state: ModelState = Field(default=ModelState.PREPARING, sa_type=words_of(ModelState))
    reason: str = ""
    renewed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the worker that prepares it last said so; empty while none does."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Run(SQLModel, table=True):
    """One recipe being trained, or trained. The row is the job: a queue message is only a hint."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    model_id: int = Field(foreign_key="model.id", index=True)
    recipe: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    cloned_from_id: int | None = Field(default=None, foreign_key="run.id")
    sweep_id: int | None = Field(default=None, foreign_key="sweep.id", index=True)
    mix_sha256: str = ""
    imported_from: str = ""
    """The folder of a run that was made by hand with xtuner; empty for Temper's own."""
    state: RunState = Field(default=RunState.QUEUED, index=True, sa_type=words_of(RunState))
    reason: ReasonKind | None = Field(default=None, sa_type=words_of(ReasonKind))
    reason_detail: str = ""
    log_tail: str = ""
    """The trainer's last lines, kept when the run fails."""

    phase: str = ""
    iteration: int = 0
    iterations: int = 0
    """Planned; 0 until the data is packed."""
    updates: int = 0
    loss: float | None = None
    seconds_per_iteration: float | None = None
    newest_answer: str = ""

    rank: int = Field(default=0, index=True)
    """Place among those that wait: the lowest starts first. Not unique; the id decides between equals."""
    after_run_id: int | None = Field(default=None, foreign_key="run.id")
    """The run that must have ended, in whatever way, before this one starts."""
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When a run that is tried again may start."""
    request_key: str | None = Field(default=None, index=True, unique=True)
    """The caller's own key of the request that made the run: the same request again makes no second one."""

    attempt: int = 0
    """Number of the live or last attempt; fences late writers."""
    restarts: int = 0
    """Attempts that were lost in a row without a new checkpoint."""
    worker: str = ""
    renewed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the worker last renewed its claim. Only its change counts: clocks jump."""
    stop_requested_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stop_keeps: bool = False
    """The stop is to save and answer a checkpoint first."""
    stopped_by: StopCause | None = Field(default=None, sa_type=words_of(StopCause))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    model: Model = Relationship()
    checkpoints: list["Checkpoint"] = Relationship(sa_relationship_kwargs={"order_by": "Checkpoint.iteration"})
    probes: list["RunProbe"] = Relationship(sa_relationship_kwargs={"order_by": "RunProbe.position"})
    attempts: list["Attempt"] = Relationship(sa_relationship_kwargs={"order_by": "Attempt.number"})


class Attempt(SQLModel, table=True):
    """One trainer process of a run."""

    __table_args__ = (UniqueConstraint("run_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    number: int
    worker: str
    device: str = ""
    """What it trained on: a GPU's name, or `CPU` with its cores. Empty of attempts before this was written down."""
    supervisor: str = ""
    """The process that holds the claim, as `worker.processes` names it: host, id and start."""
    pid: int | None = None
    """The trainer's."""
    resumed_from: int = 0
    """Iteration of the checkpoint that it went on from; 0 when it began anew."""
    event_offset: int = Field(default=0, sa_type=BigInteger)
    """Bytes of `events.jsonl` that are in the database."""
    exit_code: int | None = None
    reason: ReasonKind | None = Field(default=None, sa_type=words_of(ReasonKind))
    """Why it did not finish; empty where it did, was stopped, or gave the run back."""
    reason_detail: str = ""
    started_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Dataset(SQLModel, table=True):
    """One version of a saved set of rows; the newest id of a name is its newest version."""

    __table_args__ = (UniqueConstraint("name", "sha256"),)
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True)
    sha256: str = Field(index=True)
    """Of the stored rows; it names their file too."""
    rows: int
    left_out: int = 0
    """Rows of the upload that it marked as having no answer, and that are not stored."""
    size_bytes: int = Field(sa_type=BigInteger)
    form: RowForm = Field(sa_type=words_of(RowForm))
    """The shape of the rows as they came."""
    container: Container = Field(sa_type=words_of(Container))
    """What they came in."""
    source_name: str = ""
    """The name of the file as it was uploaded."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class RunDataset(SQLModel, table=True):
    """Rows of saved sets that a run's recipe names, whatever the sets are called."""

    run_id: int = Field(foreign_key="run.id", primary_key=True)
    sha256: str = Field(primary_key=True, index=True)


class Event(SQLModel, table=True):
    """One line of a run's ledger; its id is the id of the server-sent event."""

    __table_args__ = (Index(None, "run_id", "id"),)  # what a page reads: one run's lines after an id, in order
    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id")
    attempt: int
    kind: str
    """A trainer event's kind, or `state` or `retired`."""
    iteration: int = 0
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class RunProbe(SQLModel, table=True):
    """A probe of a run's recipe, as a row that answers can point to."""

    __table_args__ = (UniqueConstraint("run_id", "position"),)
    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    position: int
    group: str
    question: str
    reference: str = ""
    added_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it was added to a run that had been started; empty for those of the recipe."""


class Checkpoint(SQLModel, table=True):
    """What a run saved at an iteration; iteration 0 is the untuned base model and has no file."""

    __table_args__ = (UniqueConstraint("run_id", "iteration"),)
    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    iteration: int
    updates: int = 0
    file: str = ""
    """Its weights, relative to the run's folder; empty once only the adapter is kept."""
    adapter: str = ""
    state_file: str = ""
    """What a run needs to go on from here: the optimizer's state. Empty once nothing will."""
    sha256: str = ""
    """Of both, joined by a plus."""
    is_pinned: bool = False
    """A person keeps it: retention leaves its files."""
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When retention deleted the files; answers stay."""
    answered_seconds: float | None = None
    dtype: str = ""
    quantised: bool = False
    identity_nll: float | None = None
    """Mean negative log-likelihood, in nats a token, of held-out identity pairs; None where it was not measured."""
    general_nll: float | None = None
    """The same of held-out general pairs."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)

    run: Run = Relationship(sa_relationship_kwargs={"overlaps": "checkpoints"})
    answers: list["Answer"] = Relationship()
    artifacts: list["Artifact"] = Relationship(sa_relationship_kwargs={"order_by": "Artifact.id"})


class Answer(SQLModel, table=True):
    """What one checkpoint said to one probe."""

    __table_args__ = (UniqueConstraint("checkpoint_id", "probe_id"),)
    id: int | None = Field(default=None, primary_key=True)
    checkpoint_id: int = Field(foreign_key="checkpoint.id", index=True)
    probe_id: int = Field(foreign_key="runprobe.id", index=True)
    text: str
    tokens: int
    ended: str
    """`stop`, or `length` when cut at the limit of new tokens."""
    asking_id: int | None = Field(default=None, foreign_key="asking.id", index=True)
    """The asking that brought it; empty where the trainer gave it."""


class Asking(SQLModel, table=True):
    """Probes asked after a run: every one that a checkpoint with an adapter, or the base model, has no answer to."""

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    state: ArtifactState = Field(default=ArtifactState.QUEUED, sa_type=words_of(ArtifactState))
    reason: ReasonKind | None = Field(default=None, sa_type=words_of(ReasonKind))
    reason_detail: str = ""
    answers: int = 0
    """Given so far."""
    seconds: float | None = None
    """Of answering, loading left out."""
    device: str = ""
    dtype: str = ""
    quantised: bool = False
    attempt: int = 0
    """Number of the worker's try; fences late writers."""
    renewed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its worker last renewed its claim."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class StoredScore(SQLModel, table=True):
    """What a checkpoint's answers score, kept so that lists need not score them again."""

    checkpoint_id: int = Field(primary_key=True, foreign_key="checkpoint.id")
    fingerprint: str
    """Of the scoring's version, the thresholds and the answers: with another one it is stale."""
    verdict: str = Field(default="", index=True)
    """Empty where nothing tells."""
    counts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """The fields of a checkpoint's score, those of single answers left out."""


class ThresholdSetting(SQLModel, table=True):
    """A threshold of the verdicts that differs from its default."""

    name: str = Field(primary_key=True)
    value: float


class Rating(SQLModel, table=True):
    """What one user thinks of one answer; never shown as anybody else's."""

    __table_args__ = (UniqueConstraint("user_id", "answer_id"),)
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id")
    answer_id: int = Field(foreign_key="answer.id", index=True)
    stars: int | None = None
    """1 to 5; None where there is only a note."""
    note: str = ""
    updated_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Vote(SQLModel, table=True):
    """Which of two answers to one question a user preferred, not knowing whose they were."""

    __table_args__ = (UniqueConstraint("user_id", "first_answer_id", "second_answer_id"),)
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id")
    first_answer_id: int = Field(foreign_key="answer.id", index=True)
    """The one with the lower id, wherever it stood."""
    second_answer_id: int = Field(foreign_key="answer.id", index=True)
    preferred_answer_id: int | None = Field(default=None, foreign_key="answer.id")
    """None where both are as good."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Sweep(SQLModel, table=True):
    """Several runs whose recipes differ in named settings."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    recipe: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """What its runs have in common, and the values of what they do not."""
    axes: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """`{"setting", "values"}` of each setting that varies, in the order of the form."""
    at_once: int = 1
    """Runs of it that may train at the same time."""
    stops_parrots: bool = True
    request_key: str | None = Field(default=None, index=True, unique=True)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Artifact(SQLModel, table=True):
    """An adapter or merged model made from a checkpoint."""

    id: int | None = Field(default=None, primary_key=True)
    checkpoint_id: int = Field(foreign_key="checkpoint.id", index=True)
    kind: ArtifactKind = Field(sa_type=words_of(ArtifactKind))
    state: ArtifactState = Field(default=ArtifactState.QUEUED, sa_type=words_of(ArtifactState))
    reason: ReasonKind | None = Field(default=None, sa_type=words_of(ReasonKind))
    reason_detail: str = ""
    folder: str = ""
    """Relative to the run's folder."""
    files: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """`{"name", "size_bytes", "sha256"}` of each file."""
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    attempt: int = 0
    """Number of the worker's try to make it; fences late writers."""
    renewed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its worker last renewed its claim."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    checkpoint: Checkpoint = Relationship(sa_relationship_kwargs={"overlaps": "artifacts"})


class User(SQLModel, table=True):
    """A person who may log in."""

    __tablename__ = "user_account"  # `user` is a reserved word in Postgres
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    role: Role = Field(default=Role.ADMIN, sa_type=words_of(Role))
    password_hash: str = ""
    """Empty until one is set; then only a one-time link lets the user in."""
    subject: str | None = Field(default=None, unique=True)
    """Who this is for an OpenID provider: its address, and its own id of the person. Empty until a first such login."""
    is_provided: bool = False
    """Made by what the provider says of the person, who comes in only as long as it says so."""
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """Since when nothing lets this user in."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Credential(SQLModel, table=True):
    """A secret that lets a user in: a browser session, a one-time link or an API token."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True)
    kind: str
    """`session`, `link` or `token`."""
    name: str = ""
    """Of a token, what it is for; of a session, how it began: `password`, `link` or `oidc`."""
    scope: Role | None = Field(default=None, sa_type=words_of(Role))
    """A token may do no more than this, nor more than its user; empty: what its user may."""
    made_by_id: int | None = Field(default=None, foreign_key="credential.id")
    """The token that this one was made with, and ends with."""
    address: str = ""
    """Of a session: where its browser was when it logged in."""
    agent: str = ""
    """Of a session: what its browser called itself."""
    secret_sha256: str = Field(unique=True)
    """Of 256 random bits: a plain hash cannot be reversed, and the secret itself is stored nowhere."""
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
