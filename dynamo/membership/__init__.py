"""Who is there: failure detection and gossip. It decides where requests go, never what moves."""
