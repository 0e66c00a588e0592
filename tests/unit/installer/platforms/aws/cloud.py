"""An AWS to test with: moto's server, spoken to over HTTP by the real boto3, and in front of it
what moto leaves out.

ClientToken is honoured; DryRun asks and does nothing; permissions can be lacking; calls can be
throttled, or carried out and never answered; new objects take a while to be seen; what is in use
cannot be deleted, and instances take a while to end; the source/destination check of an instance is
that of its interface; routes to what is gone are black holes; consoles say what hosts say;
publishers offer images, and somebody else offers an evil one.
"""

import json
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # two hundred of them, none of which is ours

from moto.core.base_backend import BackendDict
from moto.ec2 import ec2_backends
from moto.ec2.models.amis import Ami
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

ACCOUNT, REGION = "123456789012", "eu-central-1"
"""The account is what moto gives everybody."""
IMAGES = (
    ("ubuntu/images/hvm-ssd/ubuntu-trusty-14.04-amd64-server-20191107", "099720109477"),
    ("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20250115", "099720109477"),
    ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20240423", "099720109477"),
    ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250115", "099720109477"),
    ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20990101", "666666666666"),
    ("debian-12-amd64-20250115-1993", "136693071363"),
)
_NEW = re.compile(
    rb"<(?:vpcId|subnetId|internetGatewayId|routeTableId|groupId|instanceId)>([\w-]+)<"
)
_IDS = re.compile(r"\b(?:vpc|subnet|igw|rtb|sg|i|eni)-[0-9a-f]{8,}")
_NOT_FOUND = {
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "i": "InvalidInstanceID.NotFound",
    "eni": "InvalidNetworkInterfaceID.NotFound",
}
Parameters = dict[str, str]


class CutError(ConnectionError):
    """The connection breaks."""


@dataclass
class Cloud:
    """What is in front of moto, and what it is told to do."""

    calls: list[str] = field(default_factory=list)
    """Actions that came, in order: "ec2:CreateVpc"."""
    denied: set[str] = field(default_factory=set)
    """Permissions that are lacking."""
    throttled: int = 0
    """Calls that are refused from now on."""
    unseen: int = 0
    """How many calls refer to a new object in vain."""
    ending: int = 0
    """How often an instance is still shown to shut down."""
    unknown_profile: int = 0
    """Launches before EC2 knows a new role."""
    quota: int = 500
    consoles: dict[str, str] = field(default_factory=dict)
    cut: Callable[[int, str], str] = lambda number, action: ""
    """Told each call that changes something: "before" or "after" breaks the connection then."""
    launched: Callable[[str], None] = lambda instance: None
    terminated: Callable[[str], None] = lambda instance: None
    changed: Callable[[], None] = lambda: None
    """Told of each call that changed something."""
    changes: int = 0
    _tokens: dict[str, tuple[str, tuple[str, list, list[bytes]]]] = field(default_factory=dict)
    _patience: Counter = field(default_factory=Counter)
    _shutting: dict[str, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    @property
    def backend(self):
        """moto's own objects."""
        return ec2_backends[ACCOUNT][REGION]

    def reset(self) -> None:
        """An empty account, in which publishers offer images."""
        BackendDict.reset()
        for number, (name, owner) in enumerate(IMAGES):
            ami = Ami(
                self.backend,
                f"ami-{number:017x}",
                name=name,
                owner_id=owner,
                public=True,
                architecture="x86_64",
                virtualization_type="hvm",
                root_device_name="/dev/xvda" if "debian" in name else "/dev/sda1",
            )
            self.backend.amis[ami.id] = ami

    def __call__(self, environ, start_response):
        """One request (WSGI)."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = _Body(body)
        service = _service(environ)
        given = {key: values[0] for key, values in parse_qs(body.decode(), True).items()}
        action = given.get("Action") or environ.get("HTTP_X_AMZ_TARGET", ".").split(".")[-1]
        if environ.get("HTTP_X_AMZ_TARGET"):
            service = "servicequotas"
        with self._lock:
            status, headers, chunks = self._answer(service, action, given, environ)
        start_response(status, headers)
        return chunks

    def _answer(self, service, action, given, environ):
        name = f"{service}:{action}"
        self.calls.append(name)
        refused = self._refusal(service, action, given)
        if refused is not None:
            return refused
        changes = not action.startswith(("Describe", "Get", "List"))
        when = ""
        if changes:
            self.changes += 1
            when = self.cut(self.changes, name)
            if when == "before":
                raise CutError(name)
        answer = self._carried_out(action, given, environ)
        if when == "after":
            raise CutError(name)
        return answer

    def _refusal(self, service, action, given: Parameters):
        name = f"{service}:{action}"
        if self.throttled > 0:
            self.throttled -= 1
            return _error(service, "RequestLimitExceeded", "Request limit exceeded.", "503")
        if name in self.denied:
            code = "UnauthorizedOperation" if service == "ec2" else "AccessDenied"
            who = f"arn:aws:iam::{ACCOUNT}:user/operator"
            text = f"User: {who} is not authorized to perform: {name} on resource: *"
            return _error(service, code, text, "403")
        if given.get("DryRun") == "true":
            return _error(service, "DryRunOperation", "Request would have succeeded.", "412")
        if service == "ec2" and action.startswith("Describe") is False:
            if (early := self._early(given)) is not None:
                return early
            if action == "RunInstances" and self.unknown_profile > 0:
                self.unknown_profile -= 1
                text = "Value (romana) for parameter iamInstanceProfile.name is invalid. "
                text += "Invalid IAM Instance Profile name"
                return _error(service, "InvalidParameterValue", text)
            if (used := self._used(action, given)) is not None:
                return _error(service, "DependencyViolation", used)
        return None

    def _early(self, given: Parameters):
        """Refuses what refers to an object that cannot be seen yet."""
        for value in given.values():
            for id_ in _IDS.findall(value):
                if self._patience[id_] > 0:
                    self._patience[id_] -= 1
                    code = _NOT_FOUND[id_.split("-")[0]]
                    return _error("ec2", code, f"The ID '{id_}' does not exist")
        return None

    def _used(self, action: str, given: Parameters) -> str | None:
        """What keeps an object from being deleted."""
        instances = [
            instance
            for reservation in self.backend.reservations.values()
            for instance in reservation.instances
            if instance.state != "terminated" or self._shutting.get(instance.id, 0) > 0
        ]
        if action == "DeleteSubnet":
            held = [each.id for each in instances if each.subnet_id == given["SubnetId"]]
        elif action == "DeleteSecurityGroup":
            held = [
                each.id
                for each in instances
                for nic in each.nics.values()
                if given["GroupId"] in [group.id for group in nic.group_set]
            ]
        elif action == "DetachInternetGateway":
            held = [each.id for each in instances if each.vpc_id == given["VpcId"]]
        elif action == "DeleteVpc":
            held = self._inside(given["VpcId"])
        else:
            return None
        return f"it has dependencies: {', '.join(held)}" if held else None

    def _inside(self, vpc: str) -> list[str]:
        """What is in a VPC and did not come with it."""
        tables, groups = self.backend.route_tables.values(), self.backend.groups[vpc].values()
        subnets = (each for zone in self.backend.subnets.values() for each in zone.values())
        return [
            *(each.id for each in tables if each.vpc_id == vpc and not each.main_association_id),
            *(each.id for each in groups if each.name != "default"),
            *(each.id for each in subnets if each.vpc_id == vpc),
        ]

    def _carried_out(self, action: str, given: Parameters, environ):
        if action == "RunInstances":
            return self._launch(given, environ)
        if action == "GetConsoleOutput":
            return self._console(given)
        answer = status, headers, chunks = self._moto_answer(environ)
        if status.startswith("200"):
            chunks = self._followed(action, given, b"".join(chunks))
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            answer = status, [*headers, ("Content-Length", str(len(chunks)))], [chunks]
        return answer

    def _followed(self, action: str, given: Parameters, body: bytes) -> bytes:
        """What else a call brings about; its answer as AWS would give it."""
        follow = {
            "ModifyInstanceAttribute": self._checked,
            "TerminateInstances": self._ended,
        }.get(action)
        if follow:
            follow(given)
        if action.startswith("Create"):
            for id_ in {each.decode() for each in _NEW.findall(body)} - set(given.values()):
                self._patience[id_] = self.unseen
        if not action.startswith(("Describe", "Get", "List")):
            self.changed()
        told = {
            "DescribeInstances": self._lingering,
            "DescribeRouteTables": self._black_holes,
            "GetServiceQuota": self._quota,
        }.get(action)
        return told(body) if told else body

    def _checked(self, given: Parameters) -> None:
        instance = self.backend.get_instance(given["InstanceId"])
        for nic in instance.nics.values():
            nic.source_dest_check = instance.source_dest_check

    def _ended(self, given: Parameters) -> None:
        for id_ in (value for key, value in given.items() if key.startswith("InstanceId")):
            self._shutting[id_] = self.ending
            self.terminated(id_)

    def _quota(self, body: bytes) -> bytes:
        quota = json.loads(body)
        quota["Quota"]["Value"] = float(self.quota)
        return json.dumps(quota).encode()

    def _lingering(self, body: bytes) -> bytes:
        """Instances that were terminated are shutting down for a while."""
        text = body.decode()
        for id_, left in list(self._shutting.items()):
            if left > 0 and id_ in text:
                self._shutting[id_] -= 1
                head, _, rest = text.partition(f"<instanceId>{id_}<")
                text = f"{head}<instanceId>{id_}<" + rest.replace(
                    "<name>terminated<", "<name>shutting-down<", 1
                )
        return text.encode()

    def _black_holes(self, body: bytes) -> bytes:
        """Routes to interfaces that are gone."""

        def judged(match: re.Match[str]) -> str:
            target = re.search(r"<networkInterfaceId>([\w-]+)<", match[0])
            if target is None or target[1] in self.backend.enis:
                return match[0]
            return match[0].replace("<state>active<", "<state>blackhole<")

        routes = re.sub(r"<routeSet>.*?</routeSet>", lambda each: re.sub(
            r"<item>.*?</item>", judged, each[0], flags=re.DOTALL
        ), body.decode(), flags=re.DOTALL)  # fmt: skip
        return routes.encode()

    def _launch(self, given: Parameters, environ):
        token = given.get("ClientToken", "")
        rest = json.dumps({key: value for key, value in given.items() if key != "ClientToken"})
        if token in self._tokens:
            had, answer = self._tokens[token]
            if had != rest:
                return _error("ec2", "IdempotentParameterMismatch", "other parameters")
            return answer
        status, headers, chunks = self._moto_answer(environ)
        answer = status, headers, [b"".join(chunks)]
        if status.startswith("200"):
            self._tokens[token] = (rest, answer)
            id_ = re.search(rb"<instanceId>([\w-]+)<", answer[2][0])
            assert id_
            self._patience[id_[1].decode()] = self.unseen
            for nic in self.backend.get_instance(id_[1].decode()).nics.values():
                self._patience[nic.id] = 0
            self.launched(id_[1].decode())
            self.changed()
        return answer

    def _console(self, given: Parameters):
        from base64 import b64encode

        id_ = given["InstanceId"]
        output = b64encode(self.consoles.get(id_, "").encode()).decode()
        body = (
            '<?xml version="1.0"?><GetConsoleOutputResponse><requestId>r</requestId>'
            f"<instanceId>{id_}</instanceId><output>{output}</output></GetConsoleOutputResponse>"
        )
        return (
            "200 OK",
            [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))],
            [body.encode()],
        )

    def _moto_answer(self, environ):
        seen: list = []

        def start(status, headers, exc_info=None):
            seen.append((status, headers))

        chunks = list(self._moto(environ, start))
        return (*seen[-1], chunks)


class _Body:
    """A request's body that was read already."""

    def __init__(self, content: bytes) -> None:
        from io import BytesIO

        self._stream = BytesIO(content)
        self.read = self._stream.read
        self.readline = self._stream.readline
        self.close = self._stream.close

    def __iter__(self):
        return iter(self._stream)


def _service(environ) -> str:
    scope = re.search(
        r"Credential=[^/]+/\d+/[\w-]+/([\w-]+)/", environ.get("HTTP_AUTHORIZATION", "")
    )
    return scope[1] if scope else ""


def _error(service: str, code: str, text: str, status: str = "400"):
    if service == "iam":
        body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
        body = f"<ErrorResponse>{body}</ErrorResponse>"
    elif service == "servicequotas":
        body = json.dumps({"__type": code, "message": text})
    else:
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
            "<RequestID>r</RequestID></Response>"
        )
    kind = "application/x-amz-json-1.1" if service == "servicequotas" else "text/xml"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return f"{status} Error", headers, [body.encode()]


class _Handler(WSGIRequestHandler):
    """Silent, and with a connection that breaks where it is told to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, *_: object) -> None:
        pass

    def connection_dropped(self, *_: object) -> None:
        self.close_connection = True


@contextmanager
def serving(cloud: Cloud, make: Callable[..., BaseWSGIServer] = make_server) -> Iterator[str]:
    """The cloud's endpoint for the time of a block."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make("127.0.0.1", 0, cloud, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
