"""The outside world: the journal on PostgreSQL and in memory, the wire, NATS, embedded servers, providers, clocks."""
