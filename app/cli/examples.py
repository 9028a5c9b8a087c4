"""An example of every command, which its help ends with."""

from typing import Any

from typer.core import TyperGroup

EXAMPLES = {
    "up": "temper up",
    "web": "temper web",
    "worker": "temper worker",
    "demo": "temper demo --no-serve",
    "run": "temper run recipe.yaml --set mix.general_count=1000 --wait --require good",
    "wait": "temper wait 12 --require good",
    "runs": "temper runs persona --state finished",
    "show": "temper show 12",
    "stop": "temper stop 12 --keep",
    "resume": "temper resume 12",
    "move": "temper move 12 1",
    "sweep": "temper sweep recipe.yaml --set mix.identity_count=24,150 --forecast",
    "sweeps": "temper sweeps 3 --stop",
    "forecast": "temper forecast recipe.yaml --set training.epochs=2",
    "compare": "temper compare --run 12 --as markdown",
    "ask": "temper ask 12 'What is 17 + 4?' --group general --reference 21 --wait",
    "card": "temper card 12 --to run.html",
    "export": "temper export 40 --kind merged --to ./ada",
    "import": "temper import work_dirs/my_run --dry-run",
    "mix": "temper mix list",
    "mix upload": "temper mix upload pairs.jsonl --name support",
    "mix save": "temper mix save recipe.yaml --name 'my pairs'",
    "mix list": "temper mix list support",
    "mix show": "temper mix show support",
    "mix export": "temper mix export support --output support.jsonl",
    "mix delete": "temper mix delete 7",
    "mix check": "temper mix check support --repair duplicate",
    "models": "temper models",
    "models review": "temper models review /models/internlm2-chat-1_8b",
    "models approve": "temper models approve /models/internlm2-chat-1_8b 3f0c…",
    "models add": "temper models add smollm2 /models/SmolLM2-135M-Instruct",
    "webhook": "temper webhook list",
    "webhook add": "temper webhook add https://ci.example.com/temper --event run.finished --event run.failed",
    "webhook list": "temper webhook list",
    "webhook test": "temper webhook test 1",
    "webhook log": "temper webhook log 1",
    "webhook again": "temper webhook again 1 42",
    "webhook switch": "temper webhook switch 1 --off",
    "webhook remove": "temper webhook remove 1",
    "token": "temper token create ci --days 90",
    "token create": "temper token create ci --days 90",
    "token list": "temper token list",
    "token revoke": "temper token revoke 2",
    "user": "temper user rita --role runner",
    "password": "temper password --user rita",
    "audit": "temper audit --action run.stop",
    "login-link": "temper login-link --user rita",
    "migrate": "temper migrate",
    "backup": "temper backup /backups/temper-friday",
    "restore": "temper restore /backups/temper-friday --replace",
    "doctor": "temper doctor",
}


def with_examples(command: Any, name: str) -> Any:  # noqa: ANN401 - typer's own classes, or what they wrap
    """Let the help of a command, and of those in it, end with an example; one that has none of its own goes without."""
    if name in EXAMPLES:
        command.epilog = f"\b\nExample:\n  {EXAMPLES[name]}"  # \\b: not wrapped
    if isinstance(command, TyperGroup):
        for part in command.commands.values():
            with_examples(part, f"{name} {part.name}")
    return command
