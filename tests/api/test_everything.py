"""Everything that a page can do, a program can do."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute

from app.main import ROUTERS

OPERATIONS = {  # of the pages' routes that change something or compute something: what does the same in the API
    "artifacts.request": {"convert_checkpoint", "merge_checkpoint"},
    "checkpoints.pin": {"pin_checkpoint", "unpin_checkpoint"},
    "askings.ask": {"add_run_probe"},
    "askings.again": {"request_run_asking"},
    "blind.vote": {"get_pair", "create_vote"},
    "blind.undo": {"undo_vote"},
    "datasets.upload": {"upload_dataset"},
    "datasets.delete": {"delete_dataset"},
    "datasets.repair": {"get_findings", "repair_dataset"},
    "models.register": {"propose_model", "add_model"},
    "models.remove": {"remove_model"},
    "new_run.preview": {"forecast", "render_recipe"},
    "new_run.mix": {"list_datasets", "save_mix"},
    "new_run.reading": {"inspect_mix"},
    "new_run.dilution": {"get_dilution"},
    "new_run.probes": {"propose_recipe_near_misses"},
    "new_run.start": {"create_run"},
    "new_sweep.preview": {"forecast_sweep"},
    "new_sweep.start": {"create_sweep"},
    "answers.rate": {"put_rating", "delete_rating"},
    "runs.stop": {"stop_run"},
    "runs.resume": {"resume_run"},
    "runs.queue": {"move_run"},
    "sweeps.stop": {"stop_sweep"},
    "sweeps.at_once": {"change_sweep"},
    "verdicts.change": {"get_thresholds", "put_thresholds"},
    "account.end_login": {"get_account", "end_login"},
    "account.end_other_logins": {"end_other_logins"},
    "account.create_token": {"create_token"},
    "account.revoke_token": {"list_tokens", "revoke_token"},
    "users.add": {"add_user"},
    "users.link": {"link_user"},
    "users.role": {"change_user_role"},
    "users.disable": {"disable_user"},
    "users.enable": {"enable_user"},
    "users.end_logins": {"end_user_logins"},
    "users.revoke_token": {"list_tokens", "revoke_token"},
    "webhooks.add": {"add_webhook"},
    "webhooks.change": {"change_webhook"},
    "webhooks.switch": {"change_webhook"},
    "webhooks.test": {"send_webhook_test"},
    "webhooks.again": {"list_webhook_deliveries", "send_webhook_delivery_again"},
    "webhooks.remove": {"remove_webhook"},
    "model_reviews.approve": {"review_source", "approve_files"},
    "model_reviews.revoke": {"list_approvals", "revoke_approval"},
}
READ = {  # of the pages' routes that only look, beside the lists and objects that every noun has
    "compare.csv": {"get_comparison"},
    "new_run.find": {"list_configs", "get_config"},
    "runs.config_file": {"get_run_config"},
    "runs.log": {"get_run_log"},
    "runs.mix": {"get_run_mix"},
    "runs.events": {"watch_run"},
    "runs.metrics": {"get_run_metrics"},
    "cards.show": {"get_run_card"},
    "workers.line": {"list_workers"},
    "artifacts.file": {"download_artifact"},
    "datasets.download": {"download_dataset"},
    "blind.results": {"list_votes"},
}
OF_PAGES_ALONE = {
    "language.choose": "what language a browser speaks is its own; a program reads English",
    "account.password": "whoever holds a token must not be able to change the password behind it",
    "login.password": "a program has a token",
    "login.use_link": "a program has a token",
    "login.out": "a token is revoked, not logged out",
    "new_run.translate": "shows the form in another language",
    "new_run_file.fill": "fills the form from a file; a program posts the recipe that is in it",
    "new_sweep.take": "fills the form of a sweep from that of a run; a program posts the plan",
}


def page_routes(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    """Yield the routes of pages."""
    yield from (route for route in routes if isinstance(route, APIRoute) and not route.include_in_schema)


def unsafe_routes() -> set[str]:
    """Return the names of the pages' routes that are no GET."""
    every = (route for router in ROUTERS for route in page_routes(router.routes))
    return {route.name for route in every if route.methods and route.methods - {"GET", "HEAD"}}


def test_every_unsafe_route_of_a_page_has_its_operation() -> None:
    """Or a reason why it has none; no list names what is not there."""
    named = set(OPERATIONS) | set(OF_PAGES_ALONE)

    assert unsafe_routes() - named == set()
    assert named - unsafe_routes() == set()


@pytest.fixture
def operation_ids(api: TestClient) -> set[str]:
    """Return the ids of the API's operations."""
    document: dict[str, Any] = api.get("/api/v1/openapi.json").json()
    return {operation["operationId"] for path in document["paths"].values() for operation in path.values()}


def test_the_operations_are_there(operation_ids: set[str]) -> None:
    """What the lists name is an operation of the API."""
    wanted = set().union(*OPERATIONS.values(), *READ.values())

    assert wanted - operation_ids == set()
