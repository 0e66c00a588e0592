"""Errors of AWS in one line, with what to do."""

from __future__ import annotations

import re

from installer.errors import PlatformError

THROTTLED = frozenset({
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException",
    "TooManyRequestsException", "EC2ThrottledException", "InternalError", "InternalFailure",
    "ServiceFailure", "ServiceUnavailable", "Unavailable",
})  # fmt: skip
"""AWS asks to try again later."""
DENIED = frozenset({
    "UnauthorizedOperation", "AccessDenied", "AccessDeniedException",
})  # fmt: skip
_CREDENTIALS = frozenset({
    "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException",
    "InvalidAccessKeyId", "IncompleteSignature",
})  # fmt: skip
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_QUOTAS = {
    "VpcLimitExceeded": "VPCs per region (vpc, L-F678F1CE)",
    "SubnetLimitExceeded": "subnets per VPC (vpc, L-407747CB)",
    "InternetGatewayLimitExceeded": "internet gateways per region (vpc, L-A4707A72)",
    "RouteTableLimitExceeded": "route tables per VPC (vpc, L-589F43AA)",
    "RouteLimitExceeded": "routes per route table (vpc, L-93826ACB)",
    "SecurityGroupLimitExceeded": "security groups per region (vpc, L-E79EC296)",
    "RulesPerSecurityGroupLimitExceeded": "rules per security group (vpc, L-0EA8095F)",
    "VcpuLimitExceeded": "vCPUs of running instances (ec2, L-1216C47A)",
    "InstanceLimitExceeded": "running instances (ec2, L-1216C47A)",
    "VolumeLimitExceeded": "volumes (ebs)",
    "AddressLimitExceeded": "public addresses (ec2, L-0263D0A3)",
    "LimitExceeded": "roles or instance profiles (iam)",
}
_NOT_FOUND = re.compile(r"\.NotFound$|\.NotFoundException$|^NoSuchEntity$|\.Unknown$")


class CloudError(PlatformError):
    """A call of AWS failed.

    Args:
        code: AWS' own word: "UnauthorizedOperation".
        text: what AWS said.
        missing: the permission that would have allowed it, if that is why.
    """

    def __init__(
        self, message: str, advice: str = "", *, code: str = "", text: str = "", missing: str = ""
    ) -> None:
        super().__init__(message, advice)
        self.code = code
        self.text = text
        self.missing = missing


def is_absence(code: str) -> bool:
    """Whether an object is not there: gone already, or not visible yet."""
    return bool(_NOT_FOUND.search(code))


def explained(service: str, operation: str, region: str, code: str, text: str) -> CloudError:
    """The error that an operator sees.

    Args:
        service: "ec2".
        operation: "CreateVpc".
        region: where.
        code: AWS' own word.
        text: what AWS said.
    """
    # What is refused may be another permission than the call's own: PassRole, CreateTags.
    named = re.search(r"not authorized to perform: ([a-z0-9-]+:\w+)", text)
    permission = named[1] if named else f"{_PREFIX.get(service, service)}:{operation}"
    missing = ""
    if code in DENIED:
        missing = permission
        who = re.search(r"(arn:aws[a-z-]*:(?:iam|sts)::\S+)", text)
        message = f"aws: {permission} is not permitted{f' to {who[1]}' if who else ''}"
        advice = f"add {permission} to its policy (docs/aws.md lists all that is needed)"
    elif code in _EXPIRED:
        message = "aws: the credentials have expired"
        advice = "get new ones: aws sso login, or a new session token"
    elif code in _CREDENTIALS:
        message = f"aws: the credentials are refused ({code})"
        advice = "check AWS_PROFILE, AWS_ACCESS_KEY_ID and the clock of this machine"
    elif code == "OptInRequired":
        message = f"aws: the account may not use {permission} in {region} yet ({_line(text)})"
        advice = "enable the region, or accept the image's terms, in the AWS console"
    elif code in _QUOTAS:
        message = f"aws: {operation} in {region} would exceed the quota of {_QUOTAS[code]}"
        advice = "have it raised in Service Quotas, or remove what is not needed; then run again"
    elif code == "InsufficientInstanceCapacity":
        message = f"aws: {region} has no room for such an instance now: {_line(text)}"
        advice = "run again later, or choose another instance_type or zone"
    else:
        message = f"aws: {permission} in {region} failed: {code}: {_line(text)}"
        advice = "run the same command again to continue"
    return CloudError(message, advice, code=code, text=text, missing=missing)


_PREFIX = {"service-quotas": "servicequotas"}
"""Names of services in policies, where they differ from those in boto3."""


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
