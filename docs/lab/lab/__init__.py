"""What the experiments of redis_facts.py are made of: a client, servers, and one module per subject."""
