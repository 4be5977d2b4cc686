"""Learning systems, each a small specification on a shared core; `build.build_system` builds them."""
