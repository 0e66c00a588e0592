"""What nft prints, as recorded from nft 1.0.6, and how a difference is told."""

import json

from romana.dataplane.listing import (
    Difference,
    Listing,
    compare,
    parse_counters,
    parse_listing,
)
from romana.dataplane.ruleset import Chain, Ruleset, Set


def table(name, **body):
    return {"set": {"family": "inet", "name": name, "table": "romana", "handle": 1, **body}}


def elements(kind, *values, flags=()):
    output = json.dumps({"nftables": [table("s", type=kind, elem=list(values), flags=list(flags))]})
    return parse_listing(output).sets["s"]


def test_elements_are_read_in_their_canonical_texts():
    assert elements("ipv4_addr", "10.0.0.3").elements == {"10.0.0.3"}
    interval = elements(
        ["ipv4_addr", "inet_proto", "inet_service"],
        {"concat": [{"range": ["10.0.0.3", "10.0.2.5"]}, 6, {"range": [80, 90]}]},
        {"concat": [{"prefix": {"addr": "0.0.0.0", "len": 0}}, 17, 53]},
        {"concat": ["10.0.3.0", {"range": [0, 255]}, 9]},
        flags=["interval"],
    )
    assert interval.interval
    assert interval.type == "ipv4_addr . inet_proto . inet_service"
    assert interval.elements == {
        "10.0.0.3-10.0.2.5 . 6 . 80-90",
        "0.0.0.0-255.255.255.255 . 17 . 53",
        "10.0.3.0 . 0-255 . 9",
    }
    six = elements(["ipv6_addr"], "::ffff:10.0.0.1", {"prefix": {"addr": "fd00::", "len": 127}})
    assert six.elements == {"::ffff:a00:1", "fd00::-fd00::1"}


def test_an_element_with_a_counter_is_read_without_it():
    counted = {"elem": {"val": "10.0.0.3", "counter": {"packets": 1, "bytes": 2}}}
    assert elements("ipv4_addr", counted).elements == {"10.0.0.3"}


def test_verdicts_are_read():
    output = {
        "map": {
            "name": "m",
            "type": ["ifname", "ipv4_addr"],
            "map": "verdict",
            "elem": [
                [{"concat": ["rom1", "10.0.0.1"]}, {"goto": {"target": "in-p"}}],
                [{"concat": ["rom2", "10.0.0.2"]}, {"accept": None}],
            ],
        }
    }
    found = parse_listing(json.dumps({"nftables": [output]})).sets["m"]
    assert found.verdicts
    assert found.elements == {
        '"rom1" . 10.0.0.1 : goto in-p',
        '"rom2" . 10.0.0.2 : accept',
    }


def test_what_a_rule_has_counted_makes_no_difference():
    def listed(*statements):
        chain = {"chain": {"family": "inet", "table": "romana", "name": "c", "handle": 3}}
        rule = {"rule": {"chain": "c", "handle": 4, "expr": [*statements, {"drop": None}]}}
        return parse_listing(json.dumps({"nftables": [chain, rule]})).chains["c"]

    counted = {"counter": {"packets": 3, "bytes": 180}}
    assert listed(counted) == listed({"counter": {"packets": 0, "bytes": 0}})
    assert listed(counted) != listed({"counter": "denied-ingress"}) != listed()


def test_echo_and_list_are_read_alike():
    chain = {"chain": {"family": "inet", "table": "romana", "name": "c", "handle": 3, "prio": 0}}
    rule = {"rule": {"chain": "c", "handle": 4, "expr": [{"accept": None}]}}
    counter = {"counter": {"name": "n", "packets": 5, "bytes": 0}}
    listed = [{"metainfo": {}}, {"table": {"name": "romana"}}, counter, chain, rule]
    echoed = [{"add": each} for each in listed[1:]]
    found = parse_listing(json.dumps({"nftables": listed}))
    assert found == parse_listing(json.dumps({"nftables": echoed}))
    assert found.chains == {"c": ('{"prio":0}', '[{"accept":null}]')}
    assert parse_counters(json.dumps({"nftables": listed})) == {"n": 5}


WANTED = Ruleset(
    sets={"s": Set(type="ipv4_addr", elements=frozenset({"10.0.0.1", "10.0.0.2"}))},
    chains={"c": Chain(hook="hook;", rules=("one", "two"))},
    counters=frozenset({"n"}),
)
PRINTED = Listing(sets=WANTED.sets, chains={"c": ("H", "1", "2")}, counters=WANTED.counters)


def found(sets=None, chains=None):
    return Listing(
        sets=WANTED.sets if sets is None else sets,
        chains=PRINTED.chains if chains is None else chains,
        counters=WANTED.counters,
    )


def told(listing):
    return [str(each) for each in compare(WANTED, PRINTED, listing)]


def test_differences_are_told():
    assert told(found()) == []
    assert told(None) == ["table romana: missing"]
    assert told(found(chains={})) == ["chain c: missing"]
    assert told(found(chains={"c": ("H", "1")})) == ["chain c: missing two"]
    assert told(found(chains={"c": ("X", "1", "2")})) == ["chain c: missing hook;; foreign X"]
    assert told(found(chains={"c": ("H", "2", "1")})) == [
        "chain c: foreign another order of its rules"
    ]
    assert told(found(chains={"c": ("H", "1", "1", "2")})) == [
        "chain c: foreign another order of its rules"
    ]
    assert told(found(sets={"s": Set(type="ipv4_addr")})) == ["set s: missing 10.0.0.1, 10.0.0.2"]
    assert told(found(sets={"s": Set(type="ipv6_addr")})) == [
        "set s: missing type ipv4_addr;; foreign type ipv6_addr;"
    ]


def test_a_flag_of_the_table_is_a_difference_even_where_nft_prints_it_badly():
    for output in (
        '{"nftables": [{"table": {"flags": "dormant"}}]}',
        '{"nftables": [{"table": {"fl',
    ):
        assert told(parse_listing(output)) == ["table romana: foreign flag"]


def test_a_set_of_a_foreign_kind_is_named():
    body = {"name": "m", "type": ["ether_addr", "mark"], "map": "mark", "elem": [["x", 1]]}
    listing = parse_listing(json.dumps({"nftables": [{"map": body}]}))
    assert "set m: foreign" in told(listing)


def test_long_differences_are_cut_short():
    items = tuple(f"10.0.0.{number}" for number in range(9))
    text = str(Difference(kind="set", name="s", missing=items))
    assert text == ("set s: missing 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 4 more")
