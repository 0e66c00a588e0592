"""The cluster's API as the operator's machine sees it: requests, and shells in pods."""

from installer.kubernetes.api import Api, ApiError
from installer.kubernetes.kubeconfig import Access, read
from installer.kubernetes.shell import Shell

__all__ = ["Access", "Api", "ApiError", "Shell", "read"]
