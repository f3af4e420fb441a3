"""Whose requests are counted together (T16)."""

from __future__ import annotations

import pytest

from shared.domain.network import network_of


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        ("1.2.3.4, 5.6.7.8", "unknown"),
    ],
)
def test_requests_are_counted_by_customer_network(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as
