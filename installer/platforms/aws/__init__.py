"""Hosts on AWS: found by their tags, compared with what is wanted, and only the difference made.

records     what there is, or should be: frozen values that refer to each other
calls       one call of AWS' API as a value
kinds/      each kind of object: how it is found, made, changed and removed
wanted      all records of a cluster (pure)
difference  wanted against found: the changes, each with its calls (pure)
routes      which prefixes a VPC's route tables need (pure)
api         the only place that calls boto3: retries with a bound, errors in one line
survey      finds everything, in as few calls as there are kinds
render      carries calls out, with the references filled in
removal     takes everything away again, and looks for what is left
platform    joins them: the Platform that the engine sees
"""

from installer.platforms.aws.platform import Aws

__all__ = ["Aws"]
