"""Shells in pods over the exec protocol, and the API's refusals, against the modelled cluster."""

import asyncio

import pytest

from installer.kubernetes import Api, ApiError, Shell, read
from installer.smoke import manifests
from installer.smoke.placement import Site, players

PODS = "/api/v1/namespaces/n/pods"


def in_pod(wanted, act):
    """Runs `act(shell)` in a pod of the modelled cluster."""

    async def main():
        async with Api(read(wanted.kubeconfig)) as api:
            site = Site(node="node1", address="198.18.0.11")
            await api.create(PODS, manifests.pod(players((site,))[0], "x"))
            shell = await Shell.open(api, "n", "frontend")
            try:
                return await act(shell)
            finally:
                await shell.close()

    return asyncio.run(main())


def test_a_question_is_answered(fake, wanted) -> None:
    assert in_pod(wanted, lambda shell: shell.ask("echo ready")) == "ready"


def test_a_shell_that_ends_is_told_with_its_last_words(fake, wanted) -> None:
    async def act(shell):
        assert shell.alive
        await shell.send("exit")
        await shell.ask("echo ready")

    with pytest.raises(ApiError, match="frontend: the shell in the pod has ended: command termin"):
        in_pod(wanted, act)


def test_a_shell_that_does_not_answer_is_told(fake, wanted) -> None:
    fake.faults.mute = True
    with pytest.raises(ApiError, match="does not answer within 0 s"):
        in_pod(wanted, lambda shell: shell.ask("echo ready", timeout_s=0.05))


def test_exec_is_refused(fake, wanted) -> None:
    async def main():
        async with Api(read(wanted.kubeconfig)) as api:
            await Shell.open(api, "n", "nobody")

    with pytest.raises(ApiError, match="pods/nobody/exec: refused: 404") as caught:
        asyncio.run(main())
    assert caught.value.status == 404


def test_refusals_are_one_line_with_reason(fake, wanted) -> None:
    async def main():
        async with Api(read(wanted.kubeconfig)) as api:
            await api.delete(f"{PODS}/nobody")  # what is not there need not go
            await api.replace(f"{PODS}/x/y", {"metadata": {"name": "y"}})
            await api.get("/refuse")

    with pytest.raises(ApiError, match="GET /refuse: 403: Forbidden here") as caught:
        asyncio.run(main())
    assert caught.value.reason == "Forbidden"
