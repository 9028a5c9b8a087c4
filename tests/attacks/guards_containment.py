"""The guards of rows 16 to 37: what a launch, a path, an upload, a model, a checkpoint and a config may do."""

from tests.attacks.mutations import Guard

KERNEL, DANGERS, TEMPLATES = "app/kernel_rules.py", "app/domain/model_dangers.py", "app/domain/chat_templates.py"
RECOGNISING = "app/domain/datasets/recognising.py"
GUARDS = [
    Guard(
        16,
        "worker/preparing.py",
        "    keep_versions(folder)\n",
        '    keep_versions(folder)\n    __import__("os").system(f"echo {recipe.name!r} >/dev/null")\n',
    ),
    Guard(17, "app/domain/registry.py", r'_NAME = re.compile(rf"\w[\w.-]', r'_NAME = re.compile(rf"[\w.-][\w.-]'),
    Guard(18, "app/domain/recipe_parts.py", 'extra="forbid"', 'extra="ignore"'),
    Guard(19, "app/domain/downloads.py", "is_inside = path.parent == folder and", "is_inside =", "artifact"),
    Guard(19, "app/domain/downloads.py", "and path.resolve() == path", "", "artifact"),
    Guard(19, "app/api/errors.py", 'if any(detail["loc"][0] == "path" for detail in details):', "if False:", "address"),
    Guard(20, "app/domain/beneath.py", "kept = flags | os.O_NOFOLLOW | os.O_NONBLOCK", "kept = flags | os.O_NONBLOCK"),
    Guard(20, "app/domain/beneath.py", "os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW |", "os.O_PATH | os.O_DIRECTORY |"),
    Guard(20, KERNEL, "| (Files.MAKE_DIR |", "| (Files.MAKE_SYM | Files.MAKE_FIFO | Files.MAKE_DIR |"),
    Guard(21, DANGERS, "if not any(target.is_relative_to(root) for root in inside):", "if False:"),
    Guard(21, DANGERS, "if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):", "if False:"),
    Guard(22, "app/domain/datasets/incoming.py", "if size_bytes > most:", "if False:"),
    Guard(22, "app/web/body_limits.py", "_Impatient(receive), send)", "receive, send)", tests="does_not_come"),
    Guard(22, "app/web/body_limits.py", " - self.waited)", ")", tests="does_not_come and trickles"),
    Guard(22, "app/web/uploads.py", "if self._parts > MOST_PARTS:", "if False:"),
    Guard(
        23,
        RECOGNISING,
        "        if head.startswith(sign):\n            if name",
        "        if False:\n            if name",
    ),
    Guard(24, "app/domain/datasets/isolation.py", 'if answer.get("is_wrong_kind"):', "if False:"),
    Guard(24, RECOGNISING, "any(word in head for word in CHECKPOINT)", "False"),
    Guard(25, "app/domain/datasets/strict_json.py", "object_pairs_hook=_object, ", ""),
    Guard(26, "worker/engine/adapters.py", "weights_only=True", "weights_only=False", "never_run"),
    Guard(
        26, KERNEL, "    handled = Files(sum(1 << at for at in range(16)))", "    handled = Files.EXECUTE", "own_folder"
    ),
    Guard(
        26,
        "worker/children.py",
        '"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"',
        '"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "0"',
        "never_run",
    ),
    Guard(26, "worker/engine/resume.py", "if found == candidate.sha256", "if True", "goes_on_from"),
    Guard(27, "worker/engine/hooks/saving.py", '        checkpoint["meta"].pop("config", None)', "        pass"),
    Guard(28, "worker/engine/failures.py", '    ("legacy .tar format", UNSAFE_CHECKPOINT),', ""),
    Guard(29, "app/domain/registry.py", "    if not looked_at.is_needed:", "    if True:", "waits_for_an_admin"),
    Guard(
        29, "app/domain/approvals.py", "        if looked_at.is_needed:", "        if False:", "not_start or changes"
    ),
    Guard(29, DANGERS, '".pkl", ', "", "pickled"),
    Guard(29, DANGERS, "    elif not _is_plain(path):", "    elif False:", "unknown_kind"),
    Guard(29, DANGERS, "is_pickled = file.read(2) in _PICKLED", "is_pickled = False", "plain_name"),
    Guard(29, DANGERS, "waiting += found.values() if isinstance(found, dict) else found", "pass", "inside_of_others"),
    Guard(29, KERNEL, '_SOCKET[at], "" if for_cuda else "refuse"', '_SOCKET[at], "allow"', "socket"),
    Guard(29, KERNEL, "KEPT_CAPABILITIES = 0b1111", "KEPT_CAPABILITIES = (1 << 64) - 1", "no_other_process"),
    Guard(29, KERNEL, "ALL_SCOPES = 0b11", "ALL_SCOPES = 0b01", "no_other_process"),
    Guard(
        30,
        TEMPLATES,
        "case nodes.Call(node=called) if not _is_known(called, written):",
        "case nodes.Call(node=called) if False:",
    ),
    Guard(
        30,
        TEMPLATES,
        "case nodes.Const(value=str() as text) if _may_become_a_name(text):",
        "case nodes.Const(value=str() as text) if False:",
    ),
    Guard(30, TEMPLATES, "case nodes.Getitem(arg=key) if not _is_key(key, written):", "case nodes.Getitem() if False:"),
    Guard(30, TEMPLATES, "if name in _TRUSTED or name in written.macros:", "if False:"),
    Guard(30, DANGERS, "    for part in odd_parts(text)[:MOST_PARTS]:", "    for part in odd_parts(text)[:0]:"),
    Guard(31, "app/domain/safetensors_files.py", "if begin < last:", "if False:"),
    Guard(31, "app/domain/safetensors_files.py", "if length > MAX_HEADER_BYTES or room < 0:", "if False:"),
    Guard(31, "app/domain/safetensors_files.py", "if not 0 <= begin <= end <= room:", "if False:"),
    Guard(32, "app/domain/recipe_parts.py", 'extra="forbid"', 'extra="ignore"'),
    Guard(33, "app/domain/xtuner_config.py", "    check_literals(parts.text, plain=plain.text)\n", "", "put_together"),
    Guard(33, "app/domain/xtuner_parts.py", "SYSTEM = {recipe.mix.system!r}", "SYSTEM = '{recipe.mix.system}'"),
    Guard(
        34,
        "worker/engine/generate.py",
        'head + template["INSTRUCTION"].format(input=question, round=1)',
        '(head + template["INSTRUCTION"]).format(input=question, round=1)',
    ),
    Guard(
        35,
        "app/domain/events.py",
        "for line in lines.splitlines():",
        "for line in lines.replace(b'\\\\n', b'\\n').replace(b'\\\\\"', b'\"').splitlines():",
    ),
    Guard(36, "app/domain/training.py", "gt=0,\n        le=0.1,\n        allow_inf_nan=False,\n", ""),
    Guard(36, "app/domain/recipe_checks.py", "if training.varlen_attention and training.batch_size != 1:", "if False:"),
    Guard(37, "app/domain/recipe_parts.py", 'extra="forbid"', 'extra="ignore"'),
    Guard(37, "app/config.py", 'device: Literal["auto", "cpu", "cuda"]', "device: str"),
]
