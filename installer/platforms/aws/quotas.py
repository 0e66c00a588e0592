"""The quota that routing has to do with, read before anything is planned."""

from __future__ import annotations

from installer.platforms.aws.api import Api
from installer.platforms.aws.errors import CloudError

ROUTES_PER_TABLE = "L-93826ACB"


def routes_per_table(api: Api) -> int:
    """How many routes a route table may have: 500 unless changed, since June 2025; 50 before.

    Raises:
        CloudError: it cannot be read.
    """
    which = {"ServiceCode": "vpc", "QuotaCode": ROUTES_PER_TABLE}
    try:
        answer = api.call("service-quotas", "get_service_quota", which)
    except CloudError as error:
        # An account that never asked for another value may have none of its own.
        if error.code != "NoSuchResourceException":
            raise
        answer = api.call("service-quotas", "get_aws_default_service_quota", which)
    return int(answer["Quota"]["Value"])
