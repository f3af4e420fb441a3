"""Whose requests are counted together (T16)."""

from __future__ import annotations

import ipaddress


def network_of(source_ip: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one, which belongs to one customer; "unknown" for what is neither."""
    try:
        address = ipaddress.ip_address(source_ip)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)
