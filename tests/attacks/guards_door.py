"""The guards of rows 1 to 15 and 38 to 48: the door, what a browser is given, addresses, the queue, two at once."""

from tests.attacks.mutations import Guard

GUARDS = [
    Guard(1, "app/web/security.py", "        check_role(request, request.state.user)\n", "        pass\n"),
    Guard(
        2, "app/web/security.py", "        check_role(request, request.state.user)\n", "        pass\n", tests="refused"
    ),
    Guard(2, "app/web/event_streams.py", " and await permit.holds()", "", tests="closed"),
    Guard(3, "app/serve.py", "    if not is_set:\n        raise", "    if False:\n        raise"),
    Guard(4, "app/domain/passwords.py", "if not SHORTEST_PASSWORD <=", "if not 0 <=", tests="can_be_set"),
    Guard(4, "app/domain/passwords.py", "if is_common(password, name=name):", "if False:", tests="can_be_set"),
    Guard(5, "app/web/login.py", "tries().take(", "(lambda *_, **__: 4)("),
    Guard(6, "app/web/security.py", "        check_origin(request)\n", ""),
    Guard(7, "app/web/security.py", "        check_origin(request)\n", ""),
    Guard(8, "app/web/security.py", "refusal = _wrong_host(request)", "refusal = None"),
    Guard(
        9,
        "app/web/security.py",
        "        is_ours = cookie_name(request) not in request.cookies",
        "        is_ours = True",
    ),
    Guard(
        10,
        "app/main.py",
        "    security.install(app)\n",
        "    security.install(app)\n    from starlette.middleware.cors import CORSMiddleware\n"
        '    app.add_middleware(CORSMiddleware, allow_origins=["*"])\n',
    ),
    Guard(11, "app/web/hardening.py", "; frame-ancestors 'none'", ""),
    Guard(12, "app/web/render.py", "autoescape=True", "autoescape=False"),
    Guard(13, "app/web/render.py", "autoescape=True", "autoescape=False"),
    Guard(14, "app/domain/logs.py", '_UNSEEN.sub("", line.rstrip("\\r").rpartition("\\r")[2])', "line"),
    Guard(14, "app/domain/logs.py", "TAIL_BYTES = 64 << 10", "TAIL_BYTES = 64 << 20"),
    Guard(15, "app/web/render.py", "autoescape=True", "autoescape=False"),
    Guard(38, "app/web/deps.py", "BeforeValidator(_written_plainly), ", ""),
    Guard(38, "app/web/deps.py", "Path(ge=1, le=LARGEST_ID)", "Path()"),
    Guard(39, "app/api/types.py", "le=MOST_LISTED, description", "description"),
    Guard(40, "app/web/runs.py", "q.strip()[:200]", "q.strip()"),
    Guard(41, "app/domain/webhooks/addresses.py", "if not is_open(address, allowed=allowed):", "if False:"),
    Guard(42, "app/web/downloads.py", "max_ranges = 16", "max_ranges = 10**9"),
    Guard(
        43,
        "app/domain/datasets/store.py",
        'letter if letter.isalnum() or letter in " ._-" else "_"',
        "letter",
        tests="name_stays",
    ),
    Guard(44, "worker/children.py", "for name in _PASSED_ON if name in os.environ", "for name in os.environ"),
    Guard(45, "worker/main.py", 'accept_content=["json"],', 'accept_content=["json", "pickle"],', tests="pickled"),
    Guard(
        45,
        "worker/main.py",
        "worker_enable_remote_control=False,",
        "worker_enable_remote_control=True,",
        tests="commands",
    ),
    Guard(45, "app/domain/queue.py", "return not is_here and not url.password", "return False", tests="told"),
    Guard(
        46,
        "worker/tasks.py",
        "    supervisor.train_waiting(worker=gethostname())\n",
        '    with db.unit_of_work() as session:\n        session.get(Run, run_id).state = "queued"\n'
        "    supervisor.train_waiting(worker=gethostname())\n",
        tests="messages",
    ),
    Guard(47, "app/api/runs.py", "@once\n", "", tests="same_request"),
    Guard(48, "app/main.py", "openapi_url=None", 'openapi_url="/openapi.json"'),
    Guard(48, "app/web/limits.py", "if self.taken_by[caller_id] >= most:", "if False:", tests="bounded or at_once"),
    Guard(
        48,
        "app/web/errors.py",
        "    return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)",
        '    return answer(request, 500, message("{e}", e=repr(error)))',
        tests="tells_nothing",
    ),
]

ELSEWHERE = {
    1: ["tests/web/test_security.py::test_every_route_is_closed"],
    2: ["tests/web/test_security.py::test_a_stream_is_refused_as_a_stream"],
    3: ["tests/test_server.py::test_other_machines_come_in_by_a_password_only"],
    41: ["tests/domain/webhooks/test_addresses.py", "tests/domain/webhooks/test_sending.py"],
    48: ["tests/api/test_events.py::test_streams_of_one_user_are_bounded", "tests/web/test_limits.py"],
}
"""Tests of an attack that stand where its subject is tested: a file, or one test of it."""
