"""Errors in one line, with what is missing and what to do."""

from __future__ import annotations

import pytest

from installer.errors import PlatformError
from installer.platforms.aws import address
from installer.platforms.aws.api import Api, Pace
from installer.platforms.aws.errors import explained

REGION = "eu-central-1"


def silent(event: object) -> None:
    pass


@pytest.mark.parametrize(
    ("code", "text", "message", "advice"),
    [
        (
            "UnauthorizedOperation",
            "You are not authorized: arn:aws:iam::1:user/operator is not authorized to perform",
            "aws: ec2:CreateVpc is not permitted to arn:aws:iam::1:user/operator",
            "add ec2:CreateVpc to its policy (docs/aws.md lists all that is needed)",
        ),
        (
            "UnauthorizedOperation",
            "You are not authorized to perform this operation. User: arn:aws:iam::1:user/operator "
            "is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x",
            "aws: iam:PassRole is not permitted to arn:aws:iam::1:user/operator",
            "add iam:PassRole to its policy (docs/aws.md lists all that is needed)",
        ),
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            "aws: the credentials have expired",
            "get new ones: aws sso login, or a new session token",
        ),
        (
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            "aws: the credentials are refused (AuthFailure)",
            "check AWS_PROFILE, AWS_ACCESS_KEY_ID and the clock of this machine",
        ),
        (
            "VpcLimitExceeded",
            "The maximum number of VPCs has been reached.",
            "aws: CreateVpc in eu-central-1 would exceed the quota of VPCs per region "
            "(vpc, L-F678F1CE)",
            "have it raised in Service Quotas, or remove what is not needed; then run again",
        ),
        (
            "InsufficientInstanceCapacity",
            "We currently do not have\nsufficient capacity",
            "aws: eu-central-1 has no room for such an instance now: We currently do not have "
            "sufficient capacity",
            "run again later, or choose another instance_type or zone",
        ),
        (
            "OptInRequired",
            "You are not subscribed to this service",
            "aws: the account may not use ec2:CreateVpc in eu-central-1 yet (You are not "
            "subscribed to this service)",
            "enable the region, or accept the image's terms, in the AWS console",
        ),
        (
            "Strange",
            "x\ny",
            "aws: ec2:CreateVpc in eu-central-1 failed: Strange: x y",
            "run the same command again to continue",
        ),
    ],
)
def test_an_error_is_one_line(code: str, text: str, message: str, advice: str) -> None:
    error = explained("ec2", "CreateVpc", REGION, code, text)
    assert (error.message, error.advice) == (message, advice)
    assert "\n" not in error.message


def test_missing_permissions_are_all_told_before_anything_is_made(cloud, cluster, aws) -> None:
    cloud.denied = {"ec2:CreateVpc", "ec2:ImportKeyPair", "ec2:CreateInternetGateway"}
    with pytest.raises(PlatformError) as caught:
        aws().plan(cluster())
    assert caught.value.message == (
        "aws: not permitted: ec2:CreateInternetGateway, ec2:CreateVpc, ec2:ImportKeyPair; nothing "
        "was made"
    )
    assert cloud.changes == 0


@pytest.mark.parametrize(
    "permission",
    [
        "ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeInternetGateways",
        "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeKeyPairs",
        "ec2:DescribeInstances", "ec2:DescribeImages", "iam:GetRole", "iam:GetInstanceProfile",
    ],
)  # fmt: skip
def test_what_may_not_be_read_is_named(cloud, cluster, aws, permission: str) -> None:
    cloud.denied = {permission}
    with pytest.raises(PlatformError) as caught:
        aws().plan(cluster())
    assert caught.value.message == (
        f"aws: {permission} is not permitted to arn:aws:iam::123456789012:user/operator"
    )


@pytest.mark.parametrize(
    "permission",
    [
        "ec2:CreateSubnet", "ec2:AttachInternetGateway", "ec2:CreateRouteTable",
        "ec2:AssociateRouteTable", "ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress",
        "iam:CreateRole", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile",
        "ec2:RunInstances", "ec2:ModifyInstanceAttribute", "ec2:CreateRoute",
    ],
)  # fmt: skip
def test_what_may_not_be_made_is_named_and_continued(cloud, cluster, aws, permission: str) -> None:
    wanted = cluster(nodes=1)
    cloud.denied = {permission}
    with pytest.raises(PlatformError, match=rf"aws: {permission} is not permitted to arn:aws"):
        aws().provision(wanted, silent)
    cloud.denied = set()
    aws().provision(wanted, silent)
    assert [line for line in aws().plan(wanted) if not line.startswith("verify")] == []


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PlatformError, match="aws: there are no credentials"):
        Api(region=REGION).call("ec2", "describe_vpcs")
    with pytest.raises(PlatformError, match="there is no profile nobody in the AWS configuration"):
        Api(region=REGION, profile="nobody").call("ec2", "describe_vpcs")


def test_a_region_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(PlatformError, match="aws: eu-central-1 cannot be reached"):
        Api(region=REGION, pace=Pace(throttled_s=0)).call("ec2", "describe_vpcs")


def test_an_address_that_cannot_be_found_out_is_to_be_named() -> None:
    with pytest.raises(PlatformError) as caught:
        address.own("http://127.0.0.1:9/")
    assert "aws.ssh_from" in caught.value.advice
