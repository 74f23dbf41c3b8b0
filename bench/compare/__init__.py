"""What bench/run is made of: the machine, the peers, the works, the report."""
