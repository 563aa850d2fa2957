"""Pictures to look at: contact sheets, turntables, causal graphs."""
