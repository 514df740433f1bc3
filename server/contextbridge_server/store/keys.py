"""Every key in the store, once.

A key begins with the tenant. What stands in braces decides the slot of a cluster, so that what is
changed in one step lies together: all of a context, all of a claim, a tenant's list.
"""

from urllib.parse import quote

ALL_TENANTS = "*"
"""Stands where no tenant does; percent-encoding lets no tenant's name begin so."""


def context_key(tenant: str, context_id: str, part: str) -> str:
    """Return the key of a part of a context, such as `record` or `content`."""
    return f"{{{_quoted(tenant)}/{context_id}}}:{part}"


def contexts_key(tenant: str) -> str:
    """Return the key of the list of a tenant's contexts."""
    return f"{{{_quoted(tenant)}}}:contexts"


def create_key(tenant: str, idempotency_key: str) -> str:
    """Return the key of what was answered to a create's `idempotency_key`."""
    return f"{{{_quoted(tenant)}/request/{_quoted(idempotency_key)}}}:claim"


def identity_key(tenant: str, identity: str) -> str:
    """Return the key of a tenant's context of some content, by the content's hash."""
    return f"{{{_quoted(tenant)}/identical/{identity}}}:claim"


def generation_prefix(tenant: str, home: str) -> str:
    """Return what the keys of the generations of one home begin with.

    A home is what finds a generation: `cache/…`, by a key of the response cache, or `request/…`,
    by a request id.
    """
    return f"{{{_quoted(tenant)}/generation/{_quoted(home)}}}:"


def retention_key(tenant: str, part: str) -> str:
    """Return the key of a part of a tenant's list of kept generations."""
    return f"{{{_quoted(tenant)}}}:kept:{part}"


def response_cache_key(tenant: str) -> str:
    """Return the key of what is counted of a tenant's response cache."""
    return f"{{{_quoted(tenant)}}}:response_cache"


def owner_key(upstream_name: str) -> str:
    """Return the key that tells whose a resource of upstream's is: the question spans tenants."""
    return f"{{{ALL_TENANTS}/owner/{_quoted(upstream_name)}}}:tenant"


def _quoted(text: str) -> str:
    return quote(text, safe="")
