"""Commands: their output, their errors, their time."""

import asyncio
import os
from ipaddress import ip_address

import pytest

from romana.dataplane.commands import Timeout, run, run_until
from romana.dataplane.errors import CommandError
from romana.dataplane.links import PodLink, host_commands, pod_commands
from romana.dataplane.xtables.reading import read_rules


async def test_output_and_input():
    assert await run("cat", text="given\n") == "given\n"
    assert await run("true") == ""


async def test_input_can_be_read_twice():
    assert await run("sh", "-c", "cat /dev/stdin /dev/stdin", text="ab") == "abab"


async def test_a_failure_carries_what_the_tool_said():
    with pytest.raises(CommandError) as caught:
        await run("sh", "-c", "echo one >&2; echo two >&2; exit 3")
    assert caught.value.code == 3
    assert caught.value.output == "one\ntwo\n"
    assert str(caught.value).endswith("failed (3): one / two")


async def test_a_tool_that_is_not_there():
    with pytest.raises(CommandError, match="`no-such-tool` cannot be started"):
        await run("no-such-tool")


async def test_a_tool_that_takes_too_long_is_killed_and_reaped():
    started = []
    with pytest.raises(Timeout, match=r"`sleep 60` took more than 0\.1 s"):
        await run("sleep", "60", timeout_s=0.1, started=started.append)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_what_makes_a_pods_interface():
    link = PodLink(
        interface="rom0123456789ab",
        netns="/run/netns/pod",
        name="eth0",
        addresses=(ip_address("10.112.0.5"), ip_address("fd00:112::5")),
        mtu=1450,
        sources=(ip_address("198.18.0.11"),),
    )
    hardware = link.hardware
    assert hardware.startswith("02:")
    assert len(hardware) == 17
    assert list(host_commands(link)) == [
        "link add rom0123456789ab address ee:ee:ee:ee:ee:ee mtu 1450 type veth"
        f" peer name eth0 address {hardware} mtu 1450 netns /run/netns/pod",
        "link set rom0123456789ab up",
        f"neighbour replace 10.112.0.5 lladdr {hardware} dev rom0123456789ab nud permanent",
        "route replace 10.112.0.5/32 dev rom0123456789ab proto 82 src 198.18.0.11 scope link",
        f"neighbour replace fd00:112::5 lladdr {hardware} dev rom0123456789ab nud permanent",
        "route replace fd00:112::5/128 dev rom0123456789ab proto 82",
    ]
    assert list(pod_commands(link)) == [
        "link set lo up",
        "address replace 10.112.0.5/32 dev eth0",
        "address replace fd00:112::5/128 dev eth0 nodad",
        "link set eth0 up",
        "neighbour replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent",
        "route replace 169.254.1.1 dev eth0 scope link",
        "route replace 0.0.0.0/0 via 169.254.1.1 dev eth0 src 10.112.0.5",
        "neighbour replace fe80::ecee:eeff:feee:eeee lladdr ee:ee:ee:ee:ee:ee dev eth0"
        " nud permanent",
        "route replace ::/0 via fe80::ecee:eeff:feee:eeee dev eth0 src fd00:112::5",
    ]


async def test_a_tool_that_has_told_that_it_is_done_is_not_waited_for(tmp_path):
    waits = f"echo other; echo '# done'; until [ -e {tmp_path}/go ]; do sleep 0.01; done"
    ending = await run_until("# done", "sh", "-c", waits)
    assert not ending.done()
    (tmp_path / "go").touch()
    assert await ending


async def test_a_tool_that_ends_well_is_done_without_telling():
    ending = await run_until("# done", "cat", text="other\n")
    assert ending.done()


async def test_a_tool_that_fails_before_it_tells_has_failed():
    with pytest.raises(CommandError, match=r"failed \(2\): no") as caught:
        await run_until("# done", "sh", "-c", "echo other; echo no >&2; exit 2")
    assert caught.value.code == 2


@pytest.mark.parametrize("words", ["exec sleep 60", "echo '# done'; exec sleep 60"])
async def test_a_tool_that_does_not_end_is_killed(words):
    started = []
    try:
        ending = await run_until("# done", "sh", "-c", words, timeout_s=0.5, started=started.append)
    except Timeout:
        assert "# done" not in words
    else:
        assert not await ending
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


async def test_a_tool_that_is_no_longer_wanted_is_killed():
    started = []
    work = asyncio.ensure_future(run_until("# done", "sleep", "60", started=started.append))
    while not started:
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


VANISHING = """\
echo x >> {directory}/calls
[ $(wc -l < {directory}/calls) -gt {times} ] || {{ echo "{said}" >&2; exit 1; }}
echo rules
"""


@pytest.mark.parametrize("times", [0, 4])
async def test_rules_whose_sets_vanish_are_read_again(tmp_path, times):
    said = "iptables-save v1.8.9 (nf_tables): Set with index 3 in kernel doesn't exist."
    script = VANISHING.format(directory=tmp_path, times=times, said=said)
    assert await read_rules("sh", "-c", script) == "rules\n"


@pytest.mark.parametrize(
    ("said", "calls"), [("Set with index 3 in kernel doesn't exist.", 5), ("nonsense", 1)]
)
async def test_rules_are_not_read_again_for_ever_nor_for_another_reason(tmp_path, said, calls):
    script = VANISHING.format(directory=tmp_path, times=9, said=said)
    with pytest.raises(CommandError, match=said):
        await read_rules("sh", "-c", script)
    assert len((tmp_path / "calls").read_text().split()) == calls
