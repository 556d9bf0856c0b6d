"""Take a result away: networks and sub-networks for use without this package, and back again."""
