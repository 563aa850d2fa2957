"""What a run leaves on its way: claim, plan, journal, receipts, folders that have no name yet."""
